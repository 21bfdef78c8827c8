//! Deliberate faults are in no build but those that are made to look for them.

#[test]
fn a_program_for_use_has_no_deliberate_fault_in_it() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_tillgate")).unwrap();
    for name in ["deliver-twice", "async-ok-without-received", "TILLGATE_FAULT", "a deliberate fault is on"] {
        let is_there = program.windows(name.len()).any(|text| text == name.as_bytes());
        // The other way round too, or the search would prove nothing.
        assert_eq!(is_there, cfg!(feature = "faults"), "{name}");
    }
}
