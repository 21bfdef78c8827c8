//! What a seed chooses for its whole run: sizes, speeds, and which troubles there are. Each run has some of them only, so that
//! it dwells on what these can do together.

use std::time::Duration;

use crate::actions::{Kind, Mix};
use crate::chance::Chance;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) terminals: usize,
    /// What each of them speaks.
    pub(crate) kinds: Vec<Kind>,
    pub(crate) tills: usize,
    /// Actions desktops, each with its terminal and whether it says who it is.
    pub(crate) desktops: Vec<(usize, bool)>,
    /// Terminals may stay away for longer than anybody waits.
    pub(crate) long_outages: bool,
    /// Sales that each till wants to be paid for.
    pub(crate) sales: usize,
    /// The longest message that the gateway takes from a terminal, in bytes.
    pub(crate) body_limit: u32,
    /// How long bytes are under way.
    pub(crate) latency: (Duration, Duration),
    /// How long a batch takes to be on disk.
    pub(crate) commit: (Duration, Duration),
    /// How long a terminal's journal takes.
    pub(crate) sync: (Duration, Duration),
    /// How long cardholders take.
    pub(crate) cardholder: (Duration, Duration),
    /// How long a till rests between two things that it does.
    pub(crate) pause: Duration,
    /// How many troubles there are at most.
    pub(crate) troubles_max: u32,
    /// Between two troubles, at most.
    pub(crate) calm: Duration,
    pub(crate) troubles: Vec<(Trouble, u32)>,
    /// Each of a till's habits happens once in so many times; never for 0.
    pub(crate) habits: Habits,
}

#[derive(Clone, Debug)]
pub(crate) struct Habits {
    pub(crate) aborts: usize,
    pub(crate) hang_ups: usize,
    pub(crate) impatient: usize,
    pub(crate) asynchronous: usize,
    pub(crate) late_copies: usize,
    pub(crate) reversals: usize,
    pub(crate) declines: usize,
    pub(crate) card_data: usize,
    pub(crate) clashes: usize,
    pub(crate) others: usize,
    pub(crate) repeats: usize,
    pub(crate) checks: usize,
    pub(crate) peeks: usize,
}

/// Something that goes wrong once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    CutLink,
    HalfOpenLink,
    OneSidedLink,
    OtherNetwork,
    CutCall,
    HalfOpenCall,
    CutAnswers,
    SlowTerminal,
    SlowGateway,
    LoseDial,
    StaleHello,
    HelloAgain,
    SilentLink,
    KillGateway,
    CutGatewayPower,
    CommitsFail,
    CommitsFailLate,
    CommitsFlicker,
    CommitsStall,
    QueueFull,
    GatewayClock,
    KillTerminal,
    TerminalDisk,
    TerminalDiskStalls,
    LoseJournal,
    CopyJournal,
    BoardAgain,
    TerminalClock,
    ResultAgain,
    ResultDiffers,
    ResultMisfits,
    ResultOfUndelivered,
    ResultOfNobody,
}

impl Trouble {
    pub(crate) const ALL: &[Trouble] = &[
        Trouble::CutLink,
        Trouble::HalfOpenLink,
        Trouble::OneSidedLink,
        Trouble::OtherNetwork,
        Trouble::CutCall,
        Trouble::HalfOpenCall,
        Trouble::CutAnswers,
        Trouble::SlowTerminal,
        Trouble::SlowGateway,
        Trouble::LoseDial,
        Trouble::StaleHello,
        Trouble::HelloAgain,
        Trouble::SilentLink,
        Trouble::KillGateway,
        Trouble::CutGatewayPower,
        Trouble::CommitsFail,
        Trouble::CommitsFailLate,
        Trouble::CommitsFlicker,
        Trouble::CommitsStall,
        Trouble::QueueFull,
        Trouble::GatewayClock,
        Trouble::KillTerminal,
        Trouble::TerminalDisk,
        Trouble::TerminalDiskStalls,
        Trouble::LoseJournal,
        Trouble::CopyJournal,
        Trouble::BoardAgain,
        Trouble::TerminalClock,
        Trouble::ResultAgain,
        Trouble::ResultDiffers,
        Trouble::ResultMisfits,
        Trouble::ResultOfUndelivered,
        Trouble::ResultOfNobody,
    ];
}

impl Plan {
    pub(crate) fn draw(chance: &mut Chance, mix: Mix) -> Plan {
        let terminals = if chance.once_in(30) { 8 } else { 1 + chance.below(3) };
        let speed = |chance: &mut Chance, choices: &[(u64, u64)]| {
            let (from, to) = chance.pick(choices).unwrap_or_default();
            (Duration::from_micros(from), Duration::from_micros(to))
        };
        let mut troubles: Vec<(Trouble, u32)> = Vec::new();
        for trouble in Trouble::ALL {
            if chance.once_in(3) {
                let weight = chance.pick(&[1, 2, 8]).unwrap_or(1);
                troubles.push((*trouble, weight));
            }
        }
        let mut habit = |often: usize| if chance.once_in(2) { often } else { 0 };
        let habits = Habits {
            aborts: habit(4),
            hang_ups: habit(6),
            impatient: habit(3),
            asynchronous: habit(5),
            late_copies: habit(5),
            reversals: habit(4),
            declines: habit(8),
            card_data: habit(5),
            clashes: habit(12),
            others: habit(6),
            repeats: habit(4),
            checks: habit(8),
            peeks: habit(4),
        };
        let mut kind = || match mix.kinds() {
            // Nothing to choose: a run of link terminals is the same as ever.
            [only] => *only,
            kinds => chance.pick(kinds).unwrap_or(Kind::Link),
        };
        let kinds = (0..terminals).map(|_| kind()).collect();
        let long_outages = mix != Mix::Link && chance.once_in(2);
        // A run of link terminals alone has none, so that it stays what it was.
        let count = if mix == Mix::Link { 0 } else { chance.below(terminals + 2) };
        let desktops = (0..count).map(|_| (chance.below(terminals), !chance.once_in(3))).collect();
        Plan {
            terminals,
            kinds,
            desktops,
            long_outages,
            tills: terminals + chance.below(terminals + 1),
            sales: 4 + chance.below(12),
            // A payment's response is longer than the smaller one.
            body_limit: if chance.once_in(25) { 1_500 } else { 128 * 1024 },
            latency: speed(chance, &[(100, 2_000), (1_000, 40_000), (20_000, 400_000), (100, 1_500_000)]),
            commit: speed(chance, &[(100, 1_000), (1_000, 20_000), (5_000, 300_000), (1_000, 1_500_000)]),
            sync: speed(chance, &[(100, 1_000), (1_000, 20_000), (5_000, 300_000), (1_000, 1_200_000)]),
            cardholder: speed(
                chance,
                &[(0, 1_000), (1_000, 200_000), (100_000, 3_000_000), (1_000_000, 30_000_000)],
            ),
            pause: speed(chance, &[(0, 1_000), (0, 200_000), (0, 5_000_000)]).1,
            troubles_max: chance.pick(&[0, 3, 10, 30, 100]).unwrap_or(0),
            calm: speed(chance, &[(0, 300_000), (0, 2_000_000), (0, 10_000_000), (0, 60_000_000)]).1,
            troubles,
            habits,
        }
    }
}
