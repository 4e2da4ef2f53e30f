//! Who asks what, when and from where: the hidden truth of a request included.

/// A request to come.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// When its user sends it, µs since the traffic began.
    pub at_us: u64,
    /// Where its user is: a place of the [`crate::Setup`].
    pub place: u32,
    /// The model asked for: a name of the [`crate::Setup`].
    pub name: u32,
    /// Whose it is: a place in [`crate::Setup::tenants`].
    pub tenant: u32,
    /// Length of the prompt.
    pub input_tokens: u32,
    /// Length of the answer. Engines learn it token by token, gateways when it has ended.
    pub output_tokens: u32,
    /// The session it belongs to.
    pub session: Option<u64>,
    /// Chained hashes of the prompt's full blocks; empty where they are not known.
    pub blocks: Vec<u64>,
    /// Given back when the request has ended.
    pub tag: u64,
}

/// A stream of requests.
pub trait Source {
    /// The next request that comes whatever happens, in order of time.
    fn next_arrival(&mut self) -> Option<Arrival>;

    /// The request `tag` ended for its user at `at_us`: the one that follows it in a closed loop, not before that time.
    fn ended(&mut self, tag: u64, at_us: u64) -> Option<Arrival> {
        let (_, _) = (tag, at_us);
        None
    }
}

impl<I: Iterator<Item = Arrival>> Source for I {
    fn next_arrival(&mut self) -> Option<Arrival> {
        self.next()
    }
}
