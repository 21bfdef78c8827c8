//! A violation's story can be read.

use judge::{What, timeline};

use crate::story::{NO_RESPONSE, POI, Story, paid};

#[test]
fn a_timeline_tells_what_concerns_the_sale_and_marks_the_event() {
    let (mut story, _, _) = paid();
    let other = story.pay("S7", "Z");
    let refusal = story.failure_of(other, "Refusal");
    story.deliver("d7", other).result("d7", &refusal).recorded("d7").tell(other, &refusal);
    story.event(What::Note { poi: None, text: "the gateway was killed".into() });
    story.event(What::Note { poi: Some("V400m-2".into()), text: "its link was cut".into() });
    story.hello(2, &["d7"]);
    let question = story.ask("Q1", "S1");
    story.reject(question, NO_RESPONSE);
    let again = story.pay("S2", "A");
    story.deliver_on(2, "d2", again).execute("d2", again).reject(again, NO_RESPONSE);
    let verdict = story.judged();
    let text = timeline(story.log(), &verdict.violations[0]);
    let expected = "\
executed twice: A was charged once more, by ServiceID S2, delivery d2
        0.100 s  POS > gateway  call 1 /sync, wait 150 s: Payment S1 of TILL-1, A
        0.200 s  gateway        call 1 has arrived
        0.300 s  gateway > V400m-1  link 1: deliver d1: Payment S1
        0.400 s  gateway < V400m-1  link 1: received d1
        0.500 s  V400m-1        EXECUTED d1, ServiceID S1, A, 10 EUR
        0.600 s  gateway < V400m-1  link 1: result d1: Payment S1 Success
        0.700 s  gateway > V400m-1  link 1: recorded d1
        0.800 s  POS < gateway  call 1: 200 Payment S1 Success
        0.900 s  POS            call 1 was heard
";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("* the gateway was killed"), "{text}");
    assert!(text.contains("hello, resume 1 with []"), "{text}");
    assert!(text.contains("TransactionStatus Q1 of TILL-1, about S1"), "{text}");
    assert!(text.contains("Reject: did not receive a response"), "{text}");
    let marked: Vec<_> = text.lines().filter(|line| line.starts_with(">>")).collect();
    assert_eq!(marked.len(), 1, "{text}");
    assert!(marked[0].contains("EXECUTED d2"), "{text}");
    assert!(!text.contains("d7:") && !text.contains("S7") && !text.contains("its link was cut"), "{text}");
}

#[test]
fn a_timeline_of_what_is_no_sale_shows_its_event() {
    let mut story = Story::new();
    story.event(What::Note { poi: Some(POI.into()), text: "begins".into() }).recorded("d9");
    let verdict = story.judged();
    let text = timeline(story.log(), &verdict.violations[0]);
    assert!(text.contains("begins"), "{text}");
    assert!(text.contains(">>      0.200 s  gateway > V400m-1  link 1: recorded d9"), "{text}");
}
