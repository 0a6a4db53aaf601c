//! Places for WebSockets that agents beat over: so many in all, and so many of one caller, so that nobody takes
//! everybody's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use access::address::Network;

use crate::http::{Code, Problem};

/// The places of this process.
#[derive(Debug)]
pub struct Seats {
    most: usize,
    most_of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// By caller; who has none does not stand here.
    of: HashMap<Network, usize>,
}

impl Seats {
    /// All are free: `most` in all, `most_of_one` of one caller.
    pub fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_one,
            taken: Mutex::default(),
        })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.lock().all
    }

    /// A place, until it is dropped. Who has no `caller`, as the operator and programs on this machine, is counted among
    /// all alone.
    /// Errors: limited where he has as many as one may, unavailable where none is free.
    pub fn take(self: &Arc<Self>, caller: Option<Network>) -> Result<Seat, Problem> {
        let mut taken = self.lock();
        let his = caller.map(|caller| taken.of.get(&caller).copied().unwrap_or_default());
        if his.is_some_and(|his| his >= self.most_of_one) {
            let most = self.most_of_one;
            let detail = format!(
                "{most} sockets are open from your address, which is the most \
                 (http.max_sockets_per_address): one at /v1/heartbeat serves many agents"
            );
            return Err(Problem::new(Code::Limited, detail));
        }
        if taken.all >= self.most {
            let most = self.most;
            let detail = format!("{most} sockets are open, which is the most (http.max_sockets)");
            return Err(Problem::new(Code::Unavailable, detail));
        }
        taken.all += 1;
        if let Some(caller) = caller {
            *taken.of.entry(caller).or_default() += 1;
        }
        Ok(Seat {
            seats: Arc::clone(self),
            caller,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is taken.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    caller: Option<Network>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        taken.all -= 1;
        if let Some(caller) = self.caller
            && let Some(his) = taken.of.get_mut(&caller)
        {
            *his -= 1;
            if *his == 0 {
                taken.of.remove(&caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use access::address::of_one_caller;

    use super::*;

    fn caller(address: &str) -> Network {
        of_one_caller(address.parse().expect("an address"))
    }

    #[test]
    fn nobody_takes_everybodys_places_and_each_is_given_back() {
        let seats = Seats::new(5, 2);
        let take = |address: &str| seats.take(Some(caller(address)));
        let first = take("203.0.113.7").expect("free");
        let second = take("203.0.113.7").expect("free");
        let third = take("203.0.113.7").expect_err("his third");
        assert_eq!(third.code, Code::Limited);
        let other = [
            take("2001:db8::1").expect("free"),
            take("2001:db8::2").expect("free"),
        ];
        // All addresses of a /64 are one caller's, and another one's are not.
        assert!(take("2001:db8::3").is_err());
        let last = take("2001:db8:0:1::1").expect("free");
        let full = take("198.51.100.1").expect_err("all are taken");
        assert_eq!(full.code, Code::Unavailable);
        let full = seats.take(None).expect_err("also for this machine");
        assert_eq!(full.code, Code::Unavailable);
        drop((first, second));
        let ours: Vec<_> = (0..2).map(|_| seats.take(None).expect("free")).collect();
        drop((ours, other, last));
        assert_eq!(seats.taken(), 0);
        assert!(seats.lock().of.is_empty(), "nothing is kept of who left");
        assert!(take("203.0.113.7").is_ok());
    }

    #[test]
    fn where_none_may_have_any_none_does() {
        assert!(Seats::new(0, 2).take(None).is_err());
        assert!(Seats::new(2, 0).take(Some(caller("203.0.113.7"))).is_err());
    }
}
