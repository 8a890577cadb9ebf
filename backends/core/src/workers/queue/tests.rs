//! Who comes when, and who finds no place.

use proptest::prelude::*;

use super::*;

fn job(flow: u64, priority: Priority, cost: Cost) -> Job {
    Job { flow: Flow(flow), weight: NonZeroU8::MIN, priority, cost, deadline: Instant::now() }
}

fn push(queue: &mut Queue<&'static str>, cost: Cost, item: &'static str) -> Option<Ticket> {
    queue.push(job(0, Priority::Normal, cost), item)
}

fn next(queue: &mut Queue<&'static str>) -> Option<&'static str> {
    queue.next().map(|entry| entry.item)
}

#[test]
fn of_one_caller_the_oldest_comes_first() {
    let mut queue = Queue::new(8, 2);
    push(&mut queue, Cost::Slow, "a");
    push(&mut queue, Cost::Fast, "b");
    push(&mut queue, Cost::Fast, "c");
    assert_eq!([next(&mut queue), next(&mut queue), next(&mut queue)], [Some("a"), Some("b"), Some("c")]);
    assert_eq!(next(&mut queue), None);
}

#[test]
fn slow_jobs_wait_when_their_share_is_taken() {
    let mut queue = Queue::new(8, 1);
    push(&mut queue, Cost::Slow, "a");
    push(&mut queue, Cost::Slow, "b");
    push(&mut queue, Cost::Fast, "c");
    assert_eq!(next(&mut queue), Some("a"));
    assert_eq!(next(&mut queue), Some("c"));
    assert_eq!(next(&mut queue), None);
    queue.finished(Cost::Slow);
    assert_eq!(next(&mut queue), Some("b"));
}

#[test]
fn slow_jobs_never_take_every_place() {
    let mut queue = Queue::new(8, 1);
    let accepted = (0..8).filter(|_| push(&mut queue, Cost::Slow, "slow").is_some()).count();
    assert_eq!(accepted, 2);
    let accepted = (0..8).filter(|_| push(&mut queue, Cost::Fast, "fast").is_some()).count();
    assert_eq!(accepted, 5);
}

#[test]
fn a_full_queue_refuses_and_a_withdrawn_job_makes_room() {
    let mut queue = Queue::new(2, 1);
    let first = push(&mut queue, Cost::Fast, "a").unwrap();
    push(&mut queue, Cost::Fast, "b");
    assert!(push(&mut queue, Cost::Fast, "c").is_none());
    assert_eq!(queue.withdraw(first).map(|entry| entry.item), Some("a"));
    assert!(queue.withdraw(first).is_none());
    assert!(push(&mut queue, Cost::Fast, "d").is_some());
    assert_eq!([next(&mut queue), next(&mut queue)], [Some("b"), Some("d")]);
}

#[test]
fn who_has_one_job_does_not_wait_for_all_of_one_who_has_many() {
    let mut queue = Queue::new(64, 1);
    for _ in 0..32 {
        queue.push(job(1, Priority::Normal, Cost::Fast), "many").unwrap();
    }
    queue.push(job(2, Priority::Normal, Cost::Fast), "one").unwrap();
    assert_eq!([next(&mut queue), next(&mut queue)], [Some("many"), Some("one")]);
}

#[test]
fn who_wants_every_place_leaves_some_to_others() {
    let mut queue = Queue::new(1024, 1);
    let fill = |queue: &mut Queue<_>, flow| {
        let job = job(flow, Priority::Normal, Cost::Fast);
        std::iter::from_fn(|| queue.push(job, "")).count()
    };
    assert_eq!(fill(&mut queue, 0), 896);
    // Nineteen more come, and all take what they get whenever one of them was served.
    for _ in 0..40_000 {
        assert!(queue.next().is_some());
        for flow in 0..20 {
            fill(&mut queue, flow);
        }
    }
    let held: Vec<_> = (0..20).map(|flow| queue.held[&Flow(flow)]).collect();
    assert!(held.iter().all(|held| (45..=56).contains(held)), "{held:?}");
    queue.push(job(20, Priority::Normal, Cost::Fast), "modest").unwrap();
    let wait = (0..).take_while(|_| next(&mut queue) != Some("modest")).count();
    assert!(wait <= 20, "{wait}");
}

#[test]
fn what_is_urgent_is_next_and_what_may_wait_is_not_forgotten() {
    let mut queue = Queue::new(4096, 1);
    for _ in 0..300 {
        queue.push(job(0, Priority::Low, Cost::Fast), "low").unwrap();
        queue.push(job(1, Priority::Normal, Cost::Fast), "normal").unwrap();
    }
    for _ in 0..10 {
        next(&mut queue);
    }
    for _ in 0..300 {
        queue.push(job(2, Priority::High, Cost::Fast), "high").unwrap();
    }
    assert_eq!(next(&mut queue), Some("high"));
    let mut counts = HashMap::new();
    for _ in 0..210 {
        *counts.entry(next(&mut queue).unwrap()).or_insert(0) += 1;
    }
    for (what, share) in [("high", 160), ("normal", 40), ("low", 10)] {
        let count: i32 = counts[what];
        assert!((share - 3..=share + 3).contains(&count), "{counts:?}");
    }
}

#[test]
fn who_makes_keys_and_who_signs_share_a_lone_context() {
    let mut queue = Queue::new(1024, 1);
    for _ in 0..20 {
        queue.push(job(0, Priority::Normal, Cost::Slow), "slow").unwrap();
    }
    for _ in 0..640 {
        queue.push(job(1, Priority::Normal, Cost::Fast), "fast").unwrap();
    }
    let mut slow = 0;
    for _ in 0..650 {
        let entry = queue.next().unwrap();
        slow += usize::from(entry.item == "slow");
        queue.finished(entry.cost);
    }
    assert!((9..=11).contains(&slow), "{slow}");
}

#[test]
fn who_did_not_wait_has_saved_nothing_up() {
    let mut queue = Queue::new(4096, 1);
    for _ in 0..1000 {
        queue.push(job(0, Priority::Normal, Cost::Fast), "normal").unwrap();
    }
    for _ in 0..500 {
        next(&mut queue);
    }
    for _ in 0..100 {
        queue.push(job(1, Priority::Low, Cost::Fast), "low").unwrap();
    }
    let low = (0..100).filter(|_| next(&mut queue) == Some("low")).count();
    assert!(low <= 21, "{low} of 100, although it may wait");
}

#[derive(Clone, Debug)]
enum Step {
    Push(u64, Priority, Cost),
    Next,
    PutBack,
    Finish,
    Withdraw(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let priority = prop_oneof![Just(Priority::Low), Just(Priority::Normal), Just(Priority::High)];
    let cost = prop_oneof![3 => Just(Cost::Fast), 1 => Just(Cost::Slow)];
    prop_oneof![
        4 => (0..5_u64, priority, cost).prop_map(|(flow, priority, cost)| Step::Push(flow, priority, cost)),
        2 => Just(Step::Next),
        1 => Just(Step::PutBack),
        1 => Just(Step::Finish),
        1 => any::<prop::sample::Index>().prop_map(|index| Step::Withdraw(index.index(64))),
    ]
}

proptest! {
    #[test]
    fn nothing_is_lost_or_given_twice(steps in prop::collection::vec(step(), 1..200)) {
        const CAPACITY: usize = 32;
        let mut queue = Queue::new(CAPACITY, 2);
        let (mut waiting, mut running, mut numbered) = (HashMap::new(), Vec::new(), 0);
        let mut last = None;
        for step in steps {
            match step {
                Step::Push(flow, priority, cost) => {
                    numbered += 1;
                    if let Some(ticket) = queue.push(job(flow, priority, cost), numbered) {
                        waiting.insert(numbered, ticket);
                    }
                }
                Step::Next => if let Some(entry) = queue.next() {
                    prop_assert!(waiting.remove(&entry.item).is_some());
                    running.push(entry.cost);
                    last = Some(entry);
                } else {
                    let slow = running.iter().filter(|cost| **cost == Cost::Slow).count();
                    prop_assert!(waiting.is_empty() || slow == 2);
                    prop_assert!(waiting.values().all(|ticket| ticket.cost == Cost::Slow));
                },
                Step::PutBack => if let Some(entry) = last.take() {
                    queue.finished(entry.cost);
                    let at = running.iter().rposition(|cost| *cost == entry.cost).unwrap();
                    running.remove(at);
                    let Entry { number, flow, priority, cost, .. } = entry;
                    waiting.insert(entry.item, Ticket { number, flow, priority, cost });
                    queue.push_front(entry);
                },
                Step::Finish => if !running.is_empty() {
                    let cost = running.remove(0);
                    queue.finished(cost);
                    last = last.filter(|entry: &Entry<_>| entry.cost != cost);
                },
                Step::Withdraw(at) => {
                    let mut numbers: Vec<_> = waiting.keys().copied().collect();
                    numbers.sort_unstable();
                    if let Some(number) = numbers.get(at).copied() {
                        let ticket = waiting.remove(&number).unwrap();
                        prop_assert_eq!(queue.withdraw(ticket).map(|entry| entry.item), Some(number));
                        prop_assert!(queue.withdraw(ticket).is_none());
                    }
                }
            }
            prop_assert_eq!(queue.len(), waiting.len());
            prop_assert_eq!(queue.held.values().sum::<usize>(), waiting.len());
        }
        let mut left: Vec<_> = queue.drain().into_iter().map(|entry| entry.item).collect();
        let mut expected: Vec<_> = waiting.into_keys().collect();
        left.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(left, expected);
    }
}
