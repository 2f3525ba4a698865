//! Steps of a push that wait for the test: a hook at the origin, or the scanner.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::env::{TestEnv, run};
use crate::origin::Origin;

/// Something that says it was reached and then waits until it may go on; the second time it does not wait.
pub(crate) struct Held<'e> {
    env: &'e TestEnv,
}

impl<'e> Held<'e> {
    /// A hook of the origin's.
    pub(crate) fn at(env: &'e TestEnv, origin: &Origin<'_>, hook: &str) -> Self {
        let (held, script) = Self::script(env);
        origin.hook(hook, &format!("{script}; exit 0"));
        held
    }

    /// The gate's scanner: `script` is a shell's, `$REAL` is gitleaks, `$HOLD` the place that waits. Gives the config
    /// that names it.
    pub(crate) fn scanner(env: &'e TestEnv, script: &str) -> (Self, String) {
        let (held, hold) = Self::script(env);
        let script = script.replace("$HOLD", &hold);
        (held, scanner(env, &script))
    }

    fn script(env: &'e TestEnv) -> (Self, String) {
        for pipe in ["reached", "go"] {
            run(env.command("mkfifo").arg(env.path(pipe))).out();
        }
        let (reached, go) = (env.path("reached"), env.path("go"));
        let script = format!(
            "[ -e \"{0}.once\" ] || {{ : >\"{0}.once\"; echo x >\"{0}\"; read -r x <\"{1}\"; }}",
            reached.display(),
            go.display()
        );
        (Self { env }, script)
    }

    pub(crate) fn reached(&self) {
        run(self.env.command("cat").arg("reached")).out();
    }

    pub(crate) fn go(&self) {
        run(self.env.command("sh").args(["-c", "echo x >go"])).out();
    }
}

/// A scanner that is a script around the real one; answers the config that names it.
pub(crate) fn scanner(env: &TestEnv, script: &str) -> String {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/gitleaks");
    let real = fs::canonicalize(real).expect("docker/gitleaks/build.sh has brought gitleaks");
    let file = env.path("scanner");
    let text = format!(
        "#!/bin/sh\nREAL={}\nif [ \"$1\" = version ]; then exec \"$REAL\" version; fi\n{script}\nexit 0\n",
        real.display()
    );
    // The gate takes its default rules out of the binary: a copy of it stands behind the script's end.
    let binary = fs::read(&real).expect("read gitleaks");
    fs::write(&file, [text.as_bytes(), &binary].concat()).expect("write the scanner");
    fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("make it run");
    format!("[scan]\ngitleaks = \"{}\"\n", file.display())
}
