use super::queue::{BYTES_MAX, FRAMES_MAX};
use super::*;
use crate::store::{MerchantCode, Place, StoreCode};

fn group(code: &str) -> Group {
    let (merchant, store) = (MerchantCode::parse("ACME_EU").unwrap(), StoreCode::parse(code).unwrap());
    Group::at(&Place::Store { merchant, store }).unwrap()
}

fn company() -> CompanyCode {
    CompanyCode::parse("ACME").unwrap()
}

fn desktop(connection: &str, device: Option<&str>, groups: &[&str]) -> Desktop {
    Desktop {
        connection: ConnectionId::parse(connection).unwrap(),
        identity: Identity {
            credential: CredentialId::parse("ws_1").unwrap(),
            device: device.map(|device| ActionsDeviceId::parse(device).unwrap()),
        },
        company: company(),
        groups: groups.iter().map(|code| group(code)).collect(),
    }
}

fn open(desktops: &Arc<Desktops>, desktop: Desktop) -> DesktopHandle {
    desktops.open(desktop, || Bytes::from_static(b"displaced"))
}

fn frame(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// False when it is not there (any more), or is too slow.
fn tell(desktops: &Desktops, connection: &ConnectionId, frame: Bytes) -> bool {
    let entry = lock(&desktops.inner).open.connections.get(connection).cloned();
    entry.is_some_and(|entry| entry.push(frame))
}

fn orders(handle: &DesktopHandle) -> Vec<String> {
    std::iter::from_fn(|| match handle.next_order()? {
        DesktopOrder::Frame(frame) => Some(String::from_utf8(frame.to_vec()).unwrap()),
        DesktopOrder::Close(_) => None,
    })
    .collect()
}

#[test]
fn a_frame_reaches_one_connection_or_those_of_a_group() {
    let desktops = Desktops::new(PerIdentity::Any);
    let one = open(&desktops, desktop("c_1", None, &["AMS"]));
    let two = open(&desktops, desktop("c_2", Some("till-2"), &["AMS", "PAR"]));
    let three = open(&desktops, desktop("c_3", Some("till-2"), &["PAR"]));
    assert!(tell(&desktops, &two.desktop().connection, frame("to two")));
    desktops.tell_group(&company(), &group("AMS"), &frame("to AMS"));
    desktops.tell_group(&CompanyCode::parse("OTHER").unwrap(), &group("AMS"), &frame("to others"));
    assert_eq!(orders(&one), ["to AMS"]);
    assert_eq!(orders(&two), ["to two", "to AMS"]);
    assert!(orders(&three).is_empty());
}

#[test]
fn a_desktop_that_has_gone_leaves_nothing_behind() {
    let desktops = Desktops::new(PerIdentity::Any);
    let gone = desktop("c_1", Some("till-1"), &["AMS", "AMS", "PAR"]);
    drop(open(&desktops, gone.clone()));
    assert!(!desktops.is_here(&gone.connection) && !desktops.has_group(&company(), &group("AMS")));
    assert!(!tell(&desktops, &gone.connection, frame("hello")));
    let inner = lock(&desktops.inner);
    assert!(
        inner.open.connections.is_empty() && inner.open.identities.is_empty() && inner.open.groups.is_empty()
    );
}

#[test]
fn a_slow_reader_is_closed_and_nobody_waits_for_it() {
    let desktops = Desktops::new(PerIdentity::Any);
    let slow = open(&desktops, desktop("c_1", None, &["AMS"]));
    let quick = open(&desktops, desktop("c_2", None, &["AMS"]));
    for _ in 0..FRAMES_MAX {
        desktops.tell_group(&company(), &group("AMS"), &frame("news"));
        assert_eq!(orders(&quick), ["news"]);
    }
    desktops.tell_group(&company(), &group("AMS"), &frame("news"));
    assert_eq!(slow.next_order(), Some(DesktopOrder::Close(Farewell::TooSlow)));
    assert!(!tell(&desktops, &slow.desktop().connection, frame("late")));
    assert_eq!(orders(&quick), ["news"]);
}

#[test]
fn a_queue_is_full_by_its_bytes_too_but_takes_one_frame_of_any_length() {
    let desktops = Desktops::new(PerIdentity::Any);
    let handle = open(&desktops, desktop("c_1", None, &[]));
    let connection = &handle.desktop().connection;
    let long = Bytes::from(vec![b' '; BYTES_MAX + 1]);
    for _ in 0..2 {
        assert!(tell(&desktops, connection, long.clone()));
        assert_eq!(handle.next_order(), Some(DesktopOrder::Frame(long.clone())));
    }
    assert!(tell(&desktops, connection, long) && !tell(&desktops, connection, frame("more")));
    assert_eq!(handle.next_order(), Some(DesktopOrder::Close(Farewell::TooSlow)));
}

#[test]
fn the_next_connection_of_one_identity_displaces_the_first_where_that_is_set() {
    let desktops = Desktops::new(PerIdentity::One);
    let first = open(&desktops, desktop("c_1", Some("till-1"), &["AMS"]));
    let other = open(&desktops, desktop("c_2", Some("till-2"), &["AMS"]));
    tell(&desktops, &first.desktop().connection, frame("unread"));
    let next = open(&desktops, desktop("c_3", Some("till-1"), &["AMS"]));
    assert_eq!(first.next_order(), Some(DesktopOrder::Frame(frame("displaced"))));
    assert_eq!(first.next_order(), Some(DesktopOrder::Close(Farewell::Replaced)));
    drop(first);
    desktops.tell_group(&company(), &group("AMS"), &frame("news"));
    assert_eq!((orders(&other), orders(&next)), (vec!["news".into()], vec!["news".to_string()]));
}

#[tokio::test]
async fn a_socket_is_woken_by_what_is_left_for_it() {
    let desktops = Desktops::new(PerIdentity::Any);
    let handle = open(&desktops, desktop("c_1", None, &["AMS"]));
    tell(&desktops, &handle.desktop().connection, frame("news"));
    handle.ready().await;
    assert_eq!(orders(&handle), ["news"]);
}
