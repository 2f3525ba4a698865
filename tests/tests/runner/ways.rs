//! The matrix: every operation is a test over each door, and before each other kind of origin.

/// `every_way! { RUN: OPERATION… }` makes the modules; `RUN(kind, door, operation)` runs one test of them.
macro_rules! every_way {
    ($run:ident: $($operation:ident)+) => {
        every_way!(@ git_door, Git, Git, $run; $($operation)+);
        every_way!(@ http_door, Git, Http, $run; $($operation)+);
        every_way!(@ ssh_door, Git, Ssh, $run; $($operation)+);
        every_way!(@ ssh_origin, Ssh, Git, $run; $($operation)+);
        every_way!(@ http_origin, Http, Http, $run; $($operation)+);
        every_way!(@ https_origin, Https, Ssh, $run; $($operation)+);
        every_way!(@ file_origin, File, Git, $run; $($operation)+);
    };
    (@ $module:ident, $kind:ident, $door:ident, $run:ident; $($operation:ident)+) => {
        mod $module {
            use super::{Door, Kind};
            $(#[test] fn $operation() { super::$run(Kind::$kind, Door::$door, super::$operation); })+
        }
    };
}
