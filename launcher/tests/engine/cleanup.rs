//! Cleanup removes what is ours, and nothing else.

use crate::kit::{AGENT_IMAGE, Bench, docker};

#[test]
fn what_only_bears_the_name_is_left_alone() {
    let Some(bench) = Bench::new("t-foreign") else { return };
    docker(&["create", "--name", "bottle-pipelock-t-foreign", AGENT_IMAGE, "true"]);
    docker(&["volume", "create", "bottle-work-t-foreign"]);
    bench.script("exit 0");
    let ran = bench.run();
    let cleanup = bench.bottle(&["cleanup", "--force", bench.name]);
    let still = docker(&["ps", "-aq", "--filter", "name=bottle-pipelock-t-foreign"]);
    docker(&["rm", "-v", "bottle-pipelock-t-foreign"]);
    docker(&["volume", "rm", "bottle-work-t-foreign"]);
    assert!(
        ran.err.contains(
            "not made by bottle; if it is yours, docker container rm bottle-pipelock-t-foreign"
        ),
        "{ran:?}"
    );
    assert_eq!(cleanup.out, "nothing is left over\n");
    assert!(!still.is_empty(), "it is not ours, and was removed");
}

#[test]
fn half_made_things_in_any_order_are_found() {
    let Some(bench) = Bench::new("t-half") else { return };
    let label = "dev.bottle.name=t-half";
    docker(&["volume", "create", "--label", label, "bottle-work-t-half"]);
    docker(&["network", "create", "--label", label, "--internal", "bottle-net-t-half"]);
    docker(&[
        "run",
        "-d",
        "--label",
        label,
        "--label",
        "dev.bottle.role=pipelock",
        "--network",
        "bottle-net-t-half",
        "--name",
        "bottle-pipelock-t-half",
        AGENT_IMAGE,
        "sleep",
        "600",
    ]);
    let dry = bench.bottle(&["cleanup", "--dry-run"]);
    assert!(dry.out.contains("t-half: would remove"), "{dry:?}");
    let cleanup = bench.bottle(&["cleanup", bench.name]);
    assert_eq!(cleanup.code, Some(0), "{cleanup:?}");
    assert_eq!(bench.left(), Vec::<String>::new());
}
