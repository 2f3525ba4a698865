//! What an origin's advertisement says about an order, before anything is sent.

use bstr::ByteSlice;
use proto::send_pack::{Advertisement, Update};

use super::{Atomicity, Opened, Order};
use crate::policy::Refusal;

/// The updates that this origin will not take, each with the reason; none if all may be sent.
pub(crate) fn precheck(opened: &Opened, order: &Order) -> Vec<Refusal> {
    check(&opened.advertisement, order)
}

fn check(origin: &Advertisement, order: &Order) -> Vec<Refusal> {
    let offered = &origin.capabilities;
    let for_all = if order.atomicity == Atomicity::Demanded && !offered.has("atomic") {
        Some("origin does not support atomic pushes")
    } else if !order.options.is_empty() && !offered.has("push-options") {
        Some("origin does not support push options")
    } else {
        None
    };
    let refuse = |update: &Update| {
        let reason = for_all.or_else(|| {
            let deletes = update.new.is_none();
            (deletes && !offered.has("delete-refs"))
                .then_some("origin does not allow refs to be deleted")
                .or_else(|| moved(origin, update))
        })?;
        Some(Refusal::new(update.name.as_bytes().as_bstr(), reason))
    };
    order.updates.iter().filter_map(refuse).collect()
}

/// Whether the origin shows another value than the one to compare with. A ref that it does not show may be hidden from
/// pushes: then its own answer decides.
fn moved(origin: &Advertisement, update: &Update) -> Option<&'static str> {
    let (_, shown) = origin.watched.iter().find(|(name, _)| *name == update.name.as_bytes())?;
    (Some(*shown) != update.old).then_some(if update.new.is_some() {
        "fetch first"
    } else {
        "stale info"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::{Capabilities, ObjectFormat, ObjectId, RefName};

    fn id(digit: u8) -> ObjectId {
        ObjectId::from_hex(&[digit; 40]).unwrap()
    }

    fn reasons(offered: &str, change: impl FnOnce(&mut Order)) -> Vec<String> {
        let mut order = Order {
            format: ObjectFormat::Sha1,
            updates: vec![Update {
                name: RefName::parse(b"refs/heads/a").unwrap(),
                old: Some(id(b'1')),
                new: Some(id(b'2')),
            }],
            atomicity: Atomicity::Preferred,
            quiet: false,
            options: Vec::new(),
            shallow: Vec::new(),
            session_id: "1".to_owned(),
        };
        change(&mut order);
        let origin = Advertisement {
            capabilities: Capabilities::parse(offered.as_bytes()),
            watched: vec![("refs/heads/a".into(), id(b'1'))],
            refs: 1,
        };
        check(&origin, &order).into_iter().map(|refusal| refusal.reason).collect()
    }

    #[test]
    fn what_the_origin_can_do_is_not_refused() {
        assert!(reasons("report-status", |_| {}).is_empty());
        assert!(
            reasons("atomic push-options delete-refs", |order| {
                order.atomicity = Atomicity::Demanded;
                order.options = vec!["x".into()];
                order.updates[0].new = None;
            })
            .is_empty()
        );
    }

    #[test]
    fn what_it_can_not_is_refused_up_front() {
        let reason = |change: fn(&mut Order)| reasons("report-status", change).remove(0);
        assert_eq!(
            reason(|order| order.atomicity = Atomicity::Demanded),
            "origin does not support atomic pushes"
        );
        assert_eq!(
            reason(|order| order.options = vec!["".into()]),
            "origin does not support push options"
        );
        assert_eq!(
            reason(|order| order.updates[0].new = None),
            "origin does not allow refs to be deleted"
        );
        assert_eq!(reason(|order| order.updates[0].old = Some(id(b'3'))), "fetch first");
        assert_eq!(reason(|order| order.updates[0].old = None), "fetch first");
    }
}
