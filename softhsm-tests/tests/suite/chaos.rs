//! A token that fails on command, before a real gateway.
//!
//! | read | for |
//! |---|---|
//! | `altered` | attributes that the token changes in silence |
//! | `blame` | who is at fault |
//! | `gone` | a token that is taken away, and comes back |
//! | `hangs` | a module that does not come back |
//! | `matrix` | every return code of every function |
//! | `pins` | a PIN that was refused |

mod altered;
mod blame;
mod gone;
mod hangs;
mod matrix;
mod pins;

use skms::client::Client;
use skms_tests::{chaos::Chaos, gateway::Home, softhsm::SoftHsm};

use crate::ask::PROGRAM;

/// A home whose backend `hsm` fails on command.
fn home() -> Home {
    Home::with(PROGRAM, Some(SoftHsm::chaotic()))
}

fn chaos(home: &Home) -> &Chaos {
    home.softhsm().unwrap().chaos()
}

/// How many objects the token has, whoever made them.
fn objects(home: &Home) -> usize {
    home.softhsm().unwrap().object_files()
}

/// Makes sure that no key of this name is there.
async fn demand_no_key(client: &Client, id: &str) {
    let missing = client.get_key(crate::ask::full(id)).await;
    assert_eq!(crate::ask::outcome(&missing), "NotFound KEY_NOT_FOUND", "{id}");
}
