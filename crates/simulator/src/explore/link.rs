//! What both ends do to the link, and what it does to them.

use relay::exchange::{Arrival, LinkOrder, Report, Source};
use relay::{
    BODY_LIMIT, ConnectionId, Heartbeat, PROBE_TIMEOUT, Placement, Settings, ToGateway, ToTerminal, Welcome,
};

use super::invariant::Violation;
use super::log::{Log, describe_down, describe_up};
use super::machine::Act;
use super::script::script;
use super::world::World;

impl World {
    pub(super) fn hear(&mut self, socket: u8, log: &mut Log) -> Result<(), Violation> {
        let now = self.now;
        let net = self.net.edit();
        let Some(socket) = net.sockets.get_mut(usize::from(socket)) else { return Ok(()) };
        let Some(frame) = socket.up.pop_front() else { return Ok(()) };
        let id = socket.id.clone();
        log.say(|| format!("gateway: hears {} on {id}", describe_up(&frame)));
        let source = Source::Link(id.clone());
        let desk = self.desk.edit();
        match frame {
            ToGateway::Hello(hello) => {
                net.note_heard(&hello);
                desk.handle_hello(now, Arrival { welcome: welcome(&id), hello: *hello });
            }
            ToGateway::Received(delivery) => desk.handle_received(&id, &delivery),
            ToGateway::Result(delivery, result) => {
                desk.handle_report(now, source, delivery, Report::Result(result));
            }
            ToGateway::Indeterminate(delivery, reason) => {
                desk.handle_report(now, source, delivery, Report::Indeterminate(reason));
            }
            _ => {}
        }
        self.drain(log)
    }

    pub(super) fn read(&mut self, socket: u8, log: &mut Log) -> Result<(), Violation> {
        let net = self.net.edit();
        let Some(socket) = net.sockets.get_mut(usize::from(socket)) else { return Ok(()) };
        let Some(frame) = socket.down.pop_front() else { return Ok(()) };
        let Some(attempt) = socket.attempt else { return Ok(()) };
        log.say(|| format!("terminal: reads {}", describe_down(&frame)));
        let machine = self.machine.edit();
        match frame {
            ToTerminal::Welcome(welcome) => machine.welcome(self.now, attempt, welcome.body_limit, log),
            ToTerminal::Deliver(deliver) => machine.deliver(self.now, attempt, deliver, log),
            ToTerminal::Recorded { delivery, .. } => machine.recorded(self.now, &delivery, log),
            // Nothing in this world changes a fleet.
            ToTerminal::Settings(_)
            | ToTerminal::RemoveConfig(_)
            | ToTerminal::NewToken(_)
            | ToTerminal::Unknown(_) => {}
        }
        self.carry_out_acts(log)
    }

    /// The delivery that waits for this socket is written to it.
    pub(super) fn transmit(&mut self, index: u8, log: &mut Log) -> Result<(), Violation> {
        let index = usize::from(index);
        let id = self.net.sockets[index].id.clone();
        if let Some(order) = self.desk.edit().poll_transmit(self.now, &id) {
            self.carry_out_order(index, order, log)?;
        }
        self.drain(log)
    }

    fn carry_out_order(&mut self, index: usize, order: LinkOrder, log: &mut Log) -> Result<(), Violation> {
        let socket = &mut self.net.edit().sockets[index];
        let id = &socket.id;
        match order {
            LinkOrder::Frame(frame) => {
                log.say(|| format!("gateway: writes {} to {id}", describe_down(&frame)));
                match &frame {
                    ToTerminal::Deliver(deliver) => {
                        self.seen.handed_out(&deliver.delivery, &self.ledger, &self.desk)?;
                    }
                    ToTerminal::Recorded { delivery, .. } => {
                        self.seen.recorded(delivery, &self.ledger, &self.machine)?;
                    }
                    _ => {}
                }
                if socket.terminal_open {
                    socket.down.push_back(frame);
                }
                Ok(())
            }
            LinkOrder::Probe => {
                log.say(|| format!("gateway: pings {id}"));
                socket.probe = Some(self.now.mono + PROBE_TIMEOUT);
                Ok(())
            }
            LinkOrder::Close(reason) => {
                log.say(|| format!("gateway: closes {id}: {reason:?}"));
                self.end_at_gateway(index, log)
            }
        }
    }

    pub(super) fn probed(&mut self, index: usize, alive: bool, log: &mut Log) -> Result<(), Violation> {
        let socket = &mut self.net.edit().sockets[index];
        socket.probe = None;
        self.desk.edit().handle_probe(self.now, &socket.id, alive);
        self.drain(log)
    }

    /// Of what is on its way up only the first frames arrive.
    pub(super) fn lose_up(&mut self, index: usize, arrive: u8) {
        self.net.edit().sockets[index].up.truncate(usize::from(arrive));
    }

    /// Of what is on its way down only the first frames arrive.
    pub(super) fn lose_down(&mut self, index: usize, arrive: u8) {
        self.net.edit().sockets[index].down.truncate(usize::from(arrive));
    }

    pub(super) fn end_at_gateway(&mut self, index: usize, log: &mut Log) -> Result<(), Violation> {
        let socket = &mut self.net.edit().sockets[index];
        socket.end_at_gateway();
        self.desk.edit().handle_gone(self.now, &socket.id);
        self.drain(log)
    }

    pub(super) fn end_at_terminal(&mut self, index: usize, log: &mut Log) -> Result<(), Violation> {
        let socket = &mut self.net.edit().sockets[index];
        socket.end_at_terminal();
        if let Some(attempt) = socket.attempt {
            self.machine.edit().lost(self.now, attempt, log);
        }
        self.carry_out_acts(log)
    }

    pub(super) fn carry_out_acts(&mut self, log: &mut Log) -> Result<(), Violation> {
        while let Some(act) = self.machine.edit().act() {
            let net = self.net.edit();
            match act {
                Act::Dial(hello) => net.open(*hello),
                Act::Send(frame) => {
                    if let Some(socket) = net.own().filter(|socket| socket.gateway_open) {
                        socket.up.push_back(frame);
                    }
                }
                Act::Close => {
                    let own = net.sockets.iter().position(|socket| socket.terminal_open);
                    if let Some(index) = own {
                        self.end_at_terminal(index, log)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What makes no difference to when it happens is done at once, so that it makes no states of its own:
    /// - Whatever the desk has for a socket, but deliveries, is written. Had it been written later, or not at all, the
    ///   terminal could as well have read it later, or not at all.
    /// - A socket that finds nothing goes back to sleep, and one that both ends have given up is gone.
    /// - Old `hello`s are forgotten when nobody can repeat them any more.
    pub(super) fn settle(&mut self, log: &mut Log) -> Result<(), Violation> {
        let mut index = 0;
        while self.desk.is_changed() && index < self.net.sockets.len() {
            let socket = &self.net.sockets[index];
            if !socket.woken {
                index += 1;
                continue;
            }
            let id = socket.id.clone();
            let mut desk = self.desk.clone();
            match desk.edit().poll_transmit(self.now, &id) {
                Some(LinkOrder::Frame(ToTerminal::Deliver(_))) => index += 1,
                Some(order) => {
                    self.desk = desk;
                    self.carry_out_order(index, order, log)?;
                    self.drain(log)?;
                }
                None => {
                    self.desk = desk;
                    self.net.edit().sockets[index].woken = false;
                }
            }
        }
        if self.net.sockets.iter().any(|socket| !socket.terminal_open && !socket.gateway_open) {
            self.net.edit().forget_ended();
        }
        if self.left.faults == 0 && !self.net.heard.is_empty() {
            self.net.edit().heard.clear();
        }
        Ok(())
    }
}

fn welcome(id: &ConnectionId) -> Welcome {
    Welcome {
        connection_id: id.clone(),
        server_time: String::new(),
        heartbeat: Heartbeat::DEFAULT,
        terminal: Placement { poi_id: script().poi.clone(), merchant_account: "M".into(), store: None },
        settings: Settings::default(),
        body_limit: u32::try_from(BODY_LIMIT).unwrap_or(u32::MAX),
    }
}
