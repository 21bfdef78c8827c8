use super::*;

fn name(text: &str) -> TransactionId {
    TransactionId::parse(text).unwrap()
}

#[test]
fn two_names_make_one_delivery_and_no_other_two_the_same() {
    assert_eq!(delivery_of("c_1", &name("T-1")), delivery_of("c_1", &name("T-1")));
    assert_ne!(delivery_of("c_1", &name("T-1")), delivery_of("c_", &name("1T-1")));
    assert_ne!(names::void_of("c_1", &name("T-1"), 1), names::void_of("c_1", &name("T-1"), 2));
    let long = delivery_of(&"c".repeat(names::DESKTOP_MAX), &name(&"é".repeat(128)));
    assert!(long.as_str().len() <= DeliveryId::LENGTH_MAX);
    assert_eq!(names::service_of(&long).as_str().len(), 10);
}

#[test]
fn a_name_reads_as_it_was_written() {
    for asked in [
        Asked::Payment { transaction: name("€ 5 for \"Zoë\""), desktop: "c_1".into() },
        Asked::Void { transaction: name("T-1"), desktop: "c_1".into() },
    ] {
        let text = serde_json::to_string(&asked).unwrap();
        assert_eq!(serde_json::from_str::<Asked>(&text).unwrap(), asked);
    }
}
