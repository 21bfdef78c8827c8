//! What is sent beside the sales: Aborts, questions in between, copies that come late, other categories, and what no till
//! should send but some do.

use bytes::Bytes;

use crate::message::{Reference, Whose};
use crate::tally::Count;
use crate::world::{World, poi_id};

/// How long a question in between waits.
const PEEK_SECONDS: u64 = 30;

impl World {
    /// A till calls off what it waits for.
    pub(crate) fn abort(&mut self, till: usize, about: &str) {
        let names_sale = !self.chance.once_in(8);
        let it = &mut self.tills[till];
        let Some((_, category)) = it.waits_for().filter(|(service, _)| *service == about) else { return };
        let service = it.next_service();
        let mut reference = Reference::to(&it.whose, category, about);
        if !names_sale {
            reference.sale = None;
        }
        let body = it.whose.abort(&service, &reference);
        it.last_aside = Some((service, "Abort", body.clone()));
        self.tally.count(Count::Abort);
        self.send_call(None, "/sync", 150, body);
    }

    /// Somebody in the shop looks how a payment is doing, while its till waits for it.
    pub(crate) fn peek(&mut self, till: usize, about: &str) {
        if self.is_quiet {
            return;
        }
        let (how, path) = (self.chance.below(16), if self.chance.once_in(20) { "/async" } else { "/sync" });
        let nobody = poi_id(self.sites.len()).to_string();
        let it = &mut self.tills[till];
        let Some((_, category)) = it.waits_for().filter(|(service, _)| *service == about) else { return };
        let service = it.next_service();
        let own = Reference::to(&it.whose, category, about);
        // What a reference may leave out, and what it should not name.
        let reference = match how {
            0 => Reference { sale: None, ..own },
            1 => Reference { category: None, ..own },
            2 => Reference { sale: Some("TILL-99".into()), ..own },
            3 => Reference { service: None, ..own },
            4 => Reference { poi: Some(nobody), ..own },
            5 => match &it.last_aside {
                Some((service, category, _)) => Reference::to(&it.whose, category, service),
                None => own,
            },
            _ => own,
        };
        let body = match how {
            6 => it.whose.status_of_the_last(&service),
            _ => it.whose.status(&service, &reference, false),
        };
        self.tally.count(Count::Peek);
        self.send_call(None, path, PEEK_SECONDS, body);
    }

    /// A copy of a request comes long after it.
    pub(crate) fn late_copy(&mut self, path: &'static str, body: Bytes) {
        if !self.is_quiet {
            self.tally.count(Count::LateCopy);
            self.send_call(None, path, 150, body);
        }
    }

    /// Another till of the shop counts its ServiceIDs as this one does.
    pub(crate) fn clash(&mut self, till: usize, used: &str) {
        if self.is_quiet {
            return;
        }
        let other = Whose { sale: format!("TILL-{}", 50 + till), ..self.tills[till].whose.clone() };
        self.tally.count(Count::Clash);
        let number = self.calls.len();
        let body = other.payment(used, &format!("clash-{till}-{number}"), "5.55", "Eve");
        self.send_call(None, "/sync", 150, body);
    }

    pub(crate) fn asks_for_something_else(&mut self, till: usize) {
        let nobody = poi_id(self.sites.len()).to_string();
        let choice = self.chance.below(6);
        let it = &mut self.tills[till];
        let device = it.number.to_string();
        let service = it.next_service();
        let (category, body) = match choice {
            0 => ("Diagnosis", it.whose.diagnosis(&service)),
            1 => ("Display", it.whose.display(&service, &device)),
            2 => ("InputUpdate", it.whose.input_update(&service, &device)),
            3 => {
                self.tally.count(Count::Nobody);
                let nobody = Whose { poi: nobody, ..it.whose.clone() };
                ("Payment", nobody.payment(&service, &format!("nobody-{till}-{service}"), "7.77", "Ada"))
            }
            4 => match it.last_service.clone() {
                // A till whose counter went back to where it was.
                Some(used) => {
                    self.tally.count(Count::Clash);
                    ("Payment", it.whose.payment(&used, &format!("clash-{till}-{used}"), "5.55", "Eve"))
                }
                None => return,
            },
            _ => match it.last_aside.clone() {
                // The same once more: for these categories a ServiceID is not kept (E5, E7).
                Some((_, category, body)) => {
                    self.tally.count(Count::AsideAgain);
                    (category, body)
                }
                None => return,
            },
        };
        let it = &mut self.tills[till];
        if choice < 3 {
            it.last_aside = Some((service, category, body.clone()));
        }
        self.tally.count(Count::OtherCategory);
        self.send_call(None, "/sync", 150, body);
    }
}
