//! Load: so many calls in flight, for some time, and what came of it.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use skms::proto::{self, SignRequest, key_management_client::KeyManagementClient};
use skms_tests::gateway::{Authorized, Bearer};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use crate::{
    process,
    rows::{BATCH, Way},
};

/// What was measured of one row in one round.
pub(crate) struct Sample {
    pub(crate) elapsed: Duration,
    /// What the process under test used.
    pub(crate) cpu: Duration,
    /// The part of that of the thread that writes the audit log.
    pub(crate) audit_thread: Duration,
    latencies: Histogram<u64>,
    /// Set instead of the histogram when it was another process that had it.
    summary: Option<Summary>,
}

#[derive(Clone, Copy)]
struct Summary {
    operations: u64,
    p50: Duration,
    p99: Duration,
}

/// Nanoseconds from less than the fastest signature to more than any timeout, to 1 %.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(100, 100_000_000_000, 2).unwrap()
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            elapsed: Duration::ZERO,
            cpu: Duration::ZERO,
            audit_thread: Duration::ZERO,
            latencies: histogram(),
            summary: None,
        }
    }
}

impl Sample {
    /// So many operations together, none of which was timed by itself.
    pub(crate) fn counted(operations: u64, elapsed: Duration, cpu: Duration) -> Self {
        let summary = Summary { operations, p50: Duration::ZERO, p99: Duration::ZERO };
        Self { elapsed, cpu, summary: Some(summary), ..Self::default() }
    }

    pub(crate) fn took(&mut self, latency: Duration) {
        self.latencies.saturating_record(u64::try_from(latency.as_nanos()).unwrap());
    }

    /// Two lanes that ran side by side.
    pub(crate) fn beside(mut self, other: Self) -> Self {
        self.elapsed = self.elapsed.max(other.elapsed);
        self.cpu += other.cpu;
        self.audit_thread += other.audit_thread;
        self.latencies.add(other.latencies).unwrap();
        self
    }

    fn summary(&self) -> Summary {
        let quantile = |at| Duration::from_nanos(self.latencies.value_at_quantile(at));
        self.summary.unwrap_or_else(|| Summary {
            operations: self.latencies.len(),
            p50: quantile(0.5),
            p99: quantile(0.99),
        })
    }

    /// Operations per second.
    pub(crate) fn rate(&self) -> f64 {
        self.operations() / self.elapsed.as_secs_f64()
    }

    /// CPU microseconds per operation.
    pub(crate) fn cpu_micros(&self) -> f64 {
        micros(self.cpu) / self.operations()
    }

    /// The part of that of the thread that writes the audit log.
    pub(crate) fn audit_thread_micros(&self) -> f64 {
        micros(self.audit_thread) / self.operations()
    }

    pub(crate) fn p50_micros(&self) -> f64 {
        micros(self.summary().p50)
    }

    pub(crate) fn p99_micros(&self) -> f64 {
        micros(self.summary().p99)
    }

    /// At least one, so that it can be divided by.
    fn operations(&self) -> f64 {
        f64::from(u32::try_from(self.summary().operations.max(1)).unwrap())
    }

    /// As it travels from a child.
    pub(crate) fn line(&self) -> String {
        let Summary { operations, p50, p99 } = self.summary();
        let [elapsed, cpu, p50, p99] =
            [self.elapsed, self.cpu, p50, p99].map(|duration| duration.as_nanos().to_string());
        format!("{operations} {elapsed} {cpu} {p50} {p99}")
    }

    pub(crate) fn parse(line: &str) -> Self {
        let numbers: Vec<u64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
        let [operations, elapsed, cpu, p50, p99] = numbers.try_into().unwrap();
        let [elapsed, cpu, p50, p99] = [elapsed, cpu, p50, p99].map(Duration::from_nanos);
        Self { elapsed, cpu, summary: Some(Summary { operations, p50, p99 }), ..Self::default() }
    }
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A server of `KeyManagement`, and connections with it.
pub(crate) struct Target {
    pub(crate) pid: u32,
    connections: Vec<KeyManagementClient<Authorized>>,
}

/// The way to a server without TLS.
pub(crate) fn plain(endpoint: String) -> Endpoint {
    Endpoint::from_shared(endpoint).unwrap()
}

/// The thread of the gateway that writes its audit log.
const AUDIT_THREAD: &str = "audit";

/// More calls in flight than connections share them.
const CONNECTIONS: usize = 4;

impl Target {
    /// Connects in the name of whoever has this token. `endpoint` says how, as made by
    /// [`plain`] or with TLS.
    pub(crate) async fn connect(pid: u32, endpoint: &Endpoint, token: &str) -> Self {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let channel = endpoint.connect().await.unwrap();
            connections.push(KeyManagementClient::with_interceptor(channel, Bearer::new(token)));
        }
        Self { pid, connections }
    }

    /// One call that is not measured.
    pub(crate) async fn sign_once(&self, request: &SignRequest) {
        let Some(connection) = self.connections.first() else { return };
        connection.clone().sign_message(request.clone()).await.unwrap();
    }

    /// Signs in this way for some time.
    pub(crate) async fn sign_by(
        &self,
        way: Way,
        request: &SignRequest,
        lanes: usize,
        time: Duration,
    ) -> Sample {
        match way {
            Way::Call => self.sign(request, lanes, time).await,
            Way::Batch => {
                let requests = vec![request.clone(); BATCH];
                let batch = proto::BatchSignRequest { requests, ..Default::default() };
                self.measured(lanes, |mut connection| {
                    let batch = batch.clone();
                    async move {
                        let (mut sample, begun) = (Sample::default(), Instant::now());
                        while begun.elapsed() < time {
                            let one = Instant::now();
                            let answer = connection.batch_sign(batch.clone()).await.unwrap().into_inner();
                            for result in answer.results {
                                let Some(proto::batch_sign_result::Result::Response(_)) = result.result
                                else {
                                    panic!("{result:?}")
                                };
                                sample.took(one.elapsed());
                            }
                        }
                        sample
                    }
                })
                .await
            }
            Way::Stream => {
                let request = request.clone();
                self.measured(1, |connection| stream(connection, request.clone(), lanes, time)).await
            }
        }
    }

    /// What came of so many tasks, and what it took of the process.
    async fn measured<Work>(
        &self,
        tasks: usize,
        work: impl Fn(KeyManagementClient<Authorized>) -> Work,
    ) -> Sample
    where
        Work: Future<Output = Sample> + Send + 'static,
    {
        let mut all = JoinSet::new();
        let audit = || process::cpu_of_threads(self.pid, AUDIT_THREAD);
        let (begun, cpu, audit_before) = (Instant::now(), process::cpu(self.pid), audit());
        for connection in self.connections.iter().cycle().take(tasks) {
            all.spawn(work(connection.clone()));
        }
        let mut whole = all.join_all().await.into_iter().fold(Sample::default(), Sample::beside);
        whole.elapsed = begun.elapsed();
        whole.cpu = process::cpu(self.pid) - cpu;
        whole.audit_thread = audit() - audit_before;
        whole
    }

    /// Keeps `lanes` calls in flight for some time.
    async fn sign(&self, request: &SignRequest, lanes: usize, time: Duration) -> Sample {
        self.measured(lanes, |mut connection| {
            let request = request.clone();
            async move {
                let (mut sample, begun) = (Sample::default(), Instant::now());
                while begun.elapsed() < time {
                    let one = Instant::now();
                    connection.sign_message(request.clone()).await.unwrap();
                    sample.took(one.elapsed());
                }
                sample
            }
        })
        .await
    }
}

/// One stream with so many items in flight.
async fn stream(
    mut connection: KeyManagementClient<Authorized>,
    request: SignRequest,
    lanes: usize,
    time: Duration,
) -> Sample {
    use proto::{sign_stream_request::Kind, sign_stream_response::Result as Answer};
    let (ask, asked) = mpsc::channel(lanes + 1);
    let start = proto::SignStreamStart { max_in_flight: lanes.try_into().unwrap(), ..Default::default() };
    let message = |sequence, kind| proto::SignStreamRequest { sequence, kind: Some(kind) };
    ask.send(message(0, Kind::Start(start))).await.unwrap();
    let answers = connection.sign_stream(ReceiverStream::new(asked)).await.unwrap();
    let mut answers = answers.into_inner();
    let (mut sample, begun) = (Sample::default(), Instant::now());
    let mut asked_at = Vec::new();
    let (mut last, mut ask) = (0_u64, Some(ask));
    while let Some(answer) = answers.message().await.unwrap() {
        let more = match answer.result {
            Some(Answer::Ack(_)) => lanes,
            Some(Answer::Response(_)) => {
                let asked = asked_at.get(usize::try_from(answer.sequence - 1).unwrap());
                sample.took(asked.map(Instant::elapsed).unwrap());
                1
            }
            other => panic!("{other:?}"),
        };
        if begun.elapsed() >= time {
            ask = None;
        }
        for _ in 0..more {
            let Some(ask) = &ask else { break };
            last += 1;
            asked_at.push(Instant::now());
            ask.send(message(last, Kind::Sign(request.clone()))).await.unwrap();
        }
    }
    sample
}
