//! The frames that `docs/terminal-link.md` shows are frames.

use bytes::Bytes;
use relay::{ToGateway, ToTerminal};

/// Shown, and not sent by this version.
const RESERVED: [&str; 2] = ["restart", "restarting"];

#[test]
fn every_frame_that_is_shown_reads_as_one_and_only_the_reserved_ones_are_unknown() {
    let page = include_str!("../../../../docs/terminal-link.md");
    let blocks = page.split("```json\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let mut actions = Vec::new();
    for block in blocks.filter(|block| block.starts_with(r#"{"action":"#)) {
        let frame = Bytes::from_static(block.as_bytes());
        let read = (ToGateway::decode(&frame), ToTerminal::decode(&frame));
        let action = block.split('"').nth(3).unwrap_or_default();
        match read {
            (Ok(ToGateway::Unknown(_)), Ok(ToTerminal::Unknown(unknown))) => {
                assert!(RESERVED.contains(&unknown.as_str()), "{block}");
            }
            (Ok(_), Ok(_)) => assert!(!RESERVED.contains(&action), "{block}"),
            (Err(error), _) | (_, Err(error)) => panic!("{block}: {error}"),
        }
        actions.push(action);
    }
    for action in ["hello", "welcome", "deliver", "result", "settings", "applied", "removeConfig", "newToken"]
    {
        assert!(actions.contains(&action), "{action} is shown nowhere");
    }
}
