//! The judgement: one module for each figure, over a run that has been put in order.

mod desktops;
mod false_failure;
mod false_success;
mod lost;
mod twice;
mod without_outcome;
mod wrong_status;

use std::collections::HashSet;

use crate::claims::claims;
use crate::log::Log;
use crate::outcomes;
use crate::run::{Index, Run};
use crate::verdict::{Figure, Figures, Verdict, Violation};

/// Judges a whole run.
pub fn judge(log: &Log) -> Verdict {
    let run = Run::read(log);
    let claims = claims(&run);
    let mut found = Findings { run: &run, violations: Vec::new(), seen: HashSet::new() };
    twice::judge(&mut found);
    lost::judge(&mut found);
    false_success::judge(&mut found, &claims);
    false_failure::judge(&mut found, &claims);
    without_outcome::judge(&mut found);
    desktops::judge(&mut found);
    wrong_status::judge(&mut found);
    let mut violations = found.violations;
    violations.sort_by_key(|violation| (violation.event, violation.figure));
    let mut figures = Figures::default();
    violations.iter().for_each(|violation| figures.count(violation.figure));
    Verdict { figures, violations, outcomes: outcomes::count(&run) }
}

/// The violations found so far.
struct Findings<'a> {
    run: &'a Run<'a>,
    violations: Vec<Violation>,
    /// One event breaks one promise once, whichever rule finds it.
    seen: HashSet<(Figure, Index)>,
}

/// What a violation is about.
#[derive(Clone, Copy, Default)]
struct About<'a> {
    poi: Option<&'a str>,
    intention: Option<usize>,
}

impl<'a> About<'a> {
    fn poi(poi: &'a str) -> About<'a> {
        About { poi: Some(poi), intention: None }
    }

    fn intention(self, intention: Option<usize>) -> About<'a> {
        About { intention, ..self }
    }
}

impl Findings<'_> {
    fn add(&mut self, figure: Figure, event: Index, about: About<'_>, text: String) {
        if !self.seen.insert((figure, event)) {
            return;
        }
        let wanted = about.intention.map(|intention| &self.run.intentions[intention]);
        self.violations.push(Violation {
            figure,
            at: self.run.at(event),
            event,
            text,
            poi: about.poi.map(str::to_owned).or_else(|| wanted.map(|wanted| wanted.poi.clone())),
            sale: wanted.map(|wanted| wanted.intention.label()),
        });
    }

    /// Whether this event was found to break this promise.
    fn has(&self, figure: Figure, event: Index) -> bool {
        self.seen.contains(&(figure, event))
    }
}
