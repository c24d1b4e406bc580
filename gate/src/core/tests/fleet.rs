//! Several workers of one proxy, and Criminal IP behind them, in simulated time.

use super::*;

/// Workers that share a store, with messages between them, and an API that answers after a while.
pub(super) struct Fleet {
    pub(super) store: Memory,
    pub(super) site: Rc<Site>,
    pub(super) gates: Vec<Gate>,
    pub(super) now: Moment,
    /// Lookups under way: when they end, of which worker.
    pub(super) flying: Vec<(Moment, usize, Lookup)>,
    /// Messages under way, lost where the test says so.
    messages: Vec<(usize, SubjectId)>,
    pub(super) lose_messages: bool,
    /// Workers that were told to look for changes.
    looks: Vec<usize>,
    /// What was logged.
    pub(super) news: Vec<String>,
    /// Connections that were denied late, by worker.
    pub(super) closed: Vec<(usize, Release)>,
    pub(super) held: BTreeSet<(usize, StreamId)>,
    pub(super) calls: Vec<IpAddr>,
    pub(super) most_in_flight: usize,
    next_stream: u32,
}

impl Fleet {
    pub(super) fn new(workers: usize, site: Rc<Site>) -> Fleet {
        let store = Memory::default();
        let gates = (0..workers).map(|number| Gate::new(number as u64 + 1, &store)).collect();
        let mut fleet = Fleet {
            store,
            site,
            gates,
            now: START,
            flying: Vec::new(),
            messages: Vec::new(),
            lose_messages: false,
            looks: Vec::new(),
            news: Vec::new(),
            closed: Vec::new(),
            held: BTreeSet::new(),
            calls: Vec::new(),
            most_in_flight: 0,
            next_stream: 0,
        };
        for gate in &mut fleet.gates {
            gate.enter(&fleet.site);
            gate.configure(&fleet.site.config, &fleet.store);
        }
        fleet
    }

    /// A request from this peer reaches this worker.
    pub(super) fn request(&mut self, worker: usize, peer: IpAddr) -> Option<Decision<'static>> {
        let connection = connection(self.now);
        let proxy = Proxy { now: self.now, store: &self.store };
        let gate = &mut self.gates[worker];
        match gate.consult(&self.site, &peer.into(), &connection, self.now.timestamp()) {
            Consulted::Decided(decision) => return Some(Decision { entry: None, ..decision }),
            Consulted::Stale(decision) => {
                return Some(gate.refresh(&self.site, &peer.into(), &connection, decision, proxy));
            }
            Consulted::Skip(skip) => panic!("{skip:?}"),
            Consulted::Unknown => {}
        }
        self.next_stream += 1;
        let stream = StreamId(self.next_stream);
        match gate.admit(&self.site, stream, &peer.into(), &connection, proxy) {
            Admitted::Decided(decision) => Some(decision),
            Admitted::Skip(skip) => panic!("{skip:?}"),
            Admitted::Held => {
                self.held.insert((worker, stream));
                None
            }
        }
    }

    /// Lets every worker do what it can now. `answers` says how a call ends: after how long, and with what.
    pub(super) fn turn(&mut self, answers: &dyn Fn(IpAddr) -> (u64, Result<Assessment, LookupError>)) {
        let messages = std::mem::take(&mut self.messages);
        let looks = std::mem::take(&mut self.looks);
        for worker in 0..self.gates.len() {
            let mut effects = Effects::default();
            let proxy = Proxy { now: self.now, store: &self.store };
            let gate = &mut self.gates[worker];
            for (_, peer) in messages.iter().filter(|(to, _)| *to == worker && !self.lose_messages) {
                gate.hear(*peer, proxy, &mut effects);
            }
            let (done, flying): (Vec<_>, _) = std::mem::take(&mut self.flying)
                .into_iter()
                .partition(|(end, of, _)| *end <= self.now && *of == worker);
            self.flying = flying;
            for (_, _, lookup) in done {
                let answer = Answer { facts: answers(address(&lookup)).1, retry_after: None };
                gate.answer(lookup.id, &answer, proxy, &mut effects);
            }
            gate.tend_control(worker as u32, looks.contains(&worker), proxy, &mut effects);
            gate.sweep(proxy, &mut effects);
            while let Some(lookup) = gate.next_lookup(self.site.root, worker as u32, proxy, &mut effects) {
                self.calls.push(address(&lookup));
                let end = self.now.after(Duration::from_millis(answers(address(&lookup)).0));
                self.flying.push((end, worker, lookup));
                self.most_in_flight = self.most_in_flight.max(self.flying.len());
            }
            self.take(worker, effects);
        }
    }

    /// Carries out what followed from an event on this worker.
    pub(super) fn take(&mut self, worker: usize, effects: Effects) {
        for release in effects.released {
            match release.late {
                true => self.closed.push((worker, release)),
                false => assert!(self.held.remove(&(worker, release.stream)), "released twice"),
            }
        }
        self.looks.extend(effects.look.into_iter().map(|queue| queue as usize));
        self.news.extend(effects.news.into_iter().map(|news| news.line));
        self.messages.extend(effects.tell.into_iter().map(|(queue, peer)| (queue as usize, peer)));
    }

    pub(super) fn run(&mut self, millis: u64, answers: &dyn Fn(IpAddr) -> (u64, Result<Assessment, LookupError>)) {
        let end = self.now.after(Duration::from_millis(millis));
        while self.now < end {
            self.turn(answers);
            let idle = self.messages.is_empty() && self.looks.is_empty();
            let soon = self.now.after(Duration::from_millis(if idle { 1_000 } else { 1 }));
            let answers = self.flying.iter().map(|(end, _, _)| *end);
            let events = self.gates.iter().filter_map(Gate::next_event).chain(answers);
            let next = events.filter(|next| *next > self.now).chain([soon, end]).min().unwrap();
            self.now = next;
        }
    }
}

fn address(lookup: &Lookup) -> IpAddr {
    match lookup.subject {
        Subject::Address(address) => address,
        Subject::Domain(_) => unreachable!("these peers are addresses"),
    }
}

pub(super) fn peer(number: u32) -> IpAddr {
    std::net::Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(number)).into()
}

pub(super) fn clean(now: Moment) -> Assessment {
    Assessment {
        learned: now.timestamp(),
        findings: Findings::EMPTY,
        published: Findings::EMPTY,
        asn: None,
        country: None,
        score: Score { inbound: Some(Level::Safe), outbound: Some(Level::Safe) },
    }
}
