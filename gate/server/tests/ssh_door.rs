//! The ssh door as clients meet it that are no OpenSSH.

#![expect(clippy::unwrap_used, reason = "a panic is a test's report")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use russh::client::{AuthResult, Config, Handle, Handler, connect};
use russh::keys::{Algorithm, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{MethodKind, SshId};

/// A gate of which only the ssh door is opened; ended when dropped.
struct Gate(Child, String);

impl Gate {
    fn start(data: &std::path::Path) -> Self {
        let mut gate = Command::new(env!("CARGO_BIN_EXE_git-gate"))
            .args(["serve", "--origin", "file:///nowhere", "--name", "app"])
            .args(["--listen-ssh", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(gate.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.split_once("ssh://").expect("the door's URL").1;
        let addr = addr.split('/').next().unwrap().rsplit('@').next().unwrap();
        Self(gate, addr.to_owned())
    }

    async fn greet(&self, ident: &'static str) -> Handle<Trusting> {
        let config = Config { client_id: SshId::Standard(ident.into()), ..Config::default() };
        connect(Arc::new(config), &self.1, Trusting).await.unwrap()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

struct Trusting;

impl Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

#[tokio::test]
async fn a_client_without_a_key_comes_in() {
    let data = tempfile::tempdir().unwrap();
    let gate = Gate::start(data.path());
    for ident in ["SSH-2.0-OpenSSH_9.2", "SSH-2.0-Go", "SSH-2.0-APACHE-SSHD-2.15"] {
        let answer = gate.greet(ident).await.authenticate_none("git").await.unwrap();
        assert!(answer.success(), "{ident}");
    }
}

#[tokio::test]
async fn libssh2_is_offered_a_method_since_it_takes_none_for_no_way_in() {
    let data = tempfile::tempdir().unwrap();
    let gate = Gate::start(data.path());
    let mut client = gate.greet("SSH-2.0-libssh2_1.11.0").await;
    match client.authenticate_none("git").await.unwrap() {
        AuthResult::Failure { remaining_methods, .. } => {
            assert!(remaining_methods.contains(&MethodKind::PublicKey));
        }
        AuthResult::Success => panic!("libssh2 is let in with method none"),
    }
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    assert!(client.authenticate_publickey("git", key).await.unwrap().success());
}
