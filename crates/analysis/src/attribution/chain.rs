//! Journeys as a Markov chain, and what is lost when a channel is taken out of it.
//!
//! A state is the last `order` touches; a journey shorter than that is one state. From the start every journey runs through its
//! states to *converted* or *lost*. The removal effect of a channel is `1 - P(converted | its states lead to lost) / P(converted)`;
//! credit is the conversions shared out in proportion to it (Anderl, Becker, von Wangenheim, Schumann 2016). For value each
//! conversion is worth the mean value of those that leave the same state.
//!
//! Nothing is simulated. The linear system is solved by Gauss and Seidel's sweeps from below, which carry their own proof: beside
//! the probability to convert they work out the probability to have ended at all. That is one in truth, so what is missing from one
//! bounds the error. A small chain, or one that ends too slowly for sweeps, is solved by elimination.

use hashbrown::HashMap;

use super::{Error, paths::PathTable, total::Sum};

/// The probability mass that may be missing; it bounds the error of every probability.
const MISSING: f64 = 1e-14;
/// Sweeps until elimination takes over. A chain that ends in one step of a thousand needs some thirty thousand.
const MAX_SWEEPS: u32 = 20_000;
/// Chains up to this many states are eliminated at once.
const SMALL: usize = 48;
/// Chains above this are never eliminated: the work grows with the cube.
const MAX_ELIMINATED: usize = 3_000;

/// What the chain tells of each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Removal {
    /// The probability that a journey converts.
    pub conversion_rate: f64,
    /// The number of states.
    pub states: usize,
    /// The share of conversions that is lost without the channel, in the order of the channels' names.
    pub conversions: Vec<f64>,
    /// The share of value that is lost without it.
    pub value: Vec<f64>,
}

/// The chain: states in the order of their names, so that the order of the rows changes no bit.
struct Chain {
    /// Of each state the channels in it.
    states: Vec<Vec<u32>>,
    /// Where the steps of each state end in `steps`.
    ends: Vec<usize>,
    /// Probabilities to go on, by state.
    steps: Vec<(u32, f64)>,
    start: Vec<f64>,
    exits: Vec<Exit>,
}

/// What happens to a journey that ends after a state.
#[derive(Debug, Clone, Copy, Default)]
struct Exit {
    converted: f64,
    value: f64,
    lost: f64,
}

#[derive(Default)]
struct Counts {
    ids: HashMap<Vec<u32>, u32>,
    steps: HashMap<(u32, u32), Sum>,
    /// Started, converted, value, lost.
    ends: Vec<[Sum; 4]>,
}

/// The removal effect of every channel. `ranks` gives each channel its place among the names.
pub(super) fn removal(paths: &PathTable, ranks: &[u32], order: usize) -> Result<Removal, Error> {
    let chain = Counts::of(paths, ranks, order)?.chain()?;
    let all = chain.solve(None)?;
    let part = |rest: f64, of: f64| if of == 0.0 { 0.0 } else { 1.0 - rest / of };
    let channels = u32::try_from(ranks.len()).map_err(|_| Error::TooMany { what: "channels" })?;
    let mut removal =
        Removal { conversion_rate: all.converted, states: chain.states.len(), conversions: Vec::new(), value: Vec::new() };
    for channel in 0..channels {
        let rest = chain.solve(Some(channel))?;
        removal.conversions.push(part(rest.converted, all.converted));
        removal.value.push(part(rest.value, all.value));
    }
    Ok(removal)
}

impl Counts {
    fn of(paths: &PathTable, ranks: &[u32], order: usize) -> Result<Self, Error> {
        let mut counts = Self::default();
        let mut names: Vec<u32> = Vec::new();
        for (steps, row) in paths.rows() {
            let journeys = row.conversions + row.nulls;
            if steps.is_empty() || journeys == 0.0 {
                continue;
            }
            names.clear();
            names.extend(steps.iter().map(|channel| ranks.get(channel.0 as usize).copied().unwrap_or(0)));
            let mut before = None;
            for state in names.windows(order.min(names.len())) {
                let state = counts.state(state)?;
                match before {
                    None => counts.add(state, 0, journeys),
                    Some(before) => counts.steps.entry((before, state)).or_default().add(journeys),
                }
                before = Some(state);
            }
            if let Some(last) = before {
                counts.add(last, 1, row.conversions);
                counts.add(last, 2, row.value);
                counts.add(last, 3, row.nulls);
            }
        }
        Ok(counts)
    }

    fn state(&mut self, name: &[u32]) -> Result<u32, Error> {
        if let Some(id) = self.ids.get(name) {
            return Ok(*id);
        }
        let id = u32::try_from(self.ends.len()).map_err(|_| Error::TooMany { what: "states of the chain" })?;
        self.ids.insert(name.to_vec(), id);
        self.ends.push([Sum::default(); 4]);
        Ok(id)
    }

    fn add(&mut self, state: u32, of: usize, amount: f64) {
        if let Some(sum) = self.ends.get_mut(state as usize).and_then(|sums| sums.get_mut(of)) {
            sum.add(amount);
        }
    }

    fn chain(self) -> Result<Chain, Error> {
        let Self { ids, steps, ends } = self;
        let mut states: Vec<(Vec<u32>, u32)> = ids.into_iter().collect();
        states.sort_unstable();
        let mut place = vec![0_u32; states.len()];
        for (at, (_, id)) in (0_u32..).zip(&states) {
            if let Some(place) = place.get_mut(*id as usize) {
                *place = at;
            }
        }
        let placed = |id: u32| place.get(id as usize).copied().unwrap_or(0);
        let mut steps: Vec<(u32, u32, f64)> =
            steps.into_iter().map(|((from, to), weight)| (placed(from), placed(to), weight.get())).collect();
        steps.sort_unstable_by_key(|(from, to, _)| (*from, *to));

        let mut rest = steps.as_slice();
        let mut chain = Chain { states: Vec::new(), ends: Vec::new(), steps: Vec::new(), start: Vec::new(), exits: Vec::new() };
        for (at, (name, id)) in (0_u32..).zip(states) {
            let [started, converted, value, lost] = ends.get(id as usize).copied().unwrap_or_default().map(Sum::get);
            let (mine, others) = rest.split_at(rest.iter().take_while(|(from, _, _)| *from == at).count());
            rest = others;
            let left = mine.iter().map(|(_, _, weight)| weight).sum::<f64>() + converted + lost;
            chain.steps.extend(mine.iter().map(|(_, to, weight)| (*to, weight / left)));
            chain.ends.push(chain.steps.len());
            chain.start.push(started);
            chain.exits.push(Exit { converted: converted / left, value: value / left, lost: lost / left });
            chain.states.push(name);
        }
        let journeys: f64 = chain.start.iter().sum();
        chain.start.iter_mut().for_each(|started| *started /= journeys.max(f64::MIN_POSITIVE));
        Ok(chain)
    }
}

impl Chain {
    /// What a journey comes to when every state with this channel leads to lost.
    fn solve(&self, removed: Option<u32>) -> Result<Exit, Error> {
        let kept: Vec<bool> =
            self.states.iter().map(|channels| removed.is_none_or(|removed| !channels.contains(&removed))).collect();
        let by_state = if self.states.len() <= SMALL {
            self.eliminate(&kept)
        } else {
            match self.sweep(&kept) {
                Some(solved) => solved,
                None if self.states.len() <= MAX_ELIMINATED => self.eliminate(&kept),
                None => return Err(Error::Unsettled),
            }
        };
        let mut sum = Exit::default();
        for ((part, exit), kept) in self.start.iter().zip(&by_state).zip(&kept) {
            if *kept {
                sum.converted += part * exit.converted;
                sum.value += part * exit.value;
                sum.lost += part * exit.lost;
            }
        }
        Ok(sum)
    }

    fn rows(&self) -> impl DoubleEndedIterator<Item = (usize, &[(u32, f64)], &Exit)> {
        let bounds = (0..self.ends.len()).zip(&self.exits).map(|(at, exit)| {
            let begin = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
            let end = self.ends.get(at).copied().unwrap_or(begin);
            (at, begin..end, exit)
        });
        bounds.map(|(at, range, exit)| (at, self.steps.get(range).unwrap_or(&[]), exit))
    }

    /// What a journey comes to from each state, summed over ever longer journeys; nothing where that takes too long.
    ///
    /// `lost` holds everything that ended without conversion, so that converted and lost together tend to one from below.
    fn sweep(&self, kept: &[bool]) -> Option<Vec<Exit>> {
        let keeps = |state: u32| kept.get(state as usize).copied().unwrap_or(false);
        let mut solved = vec![Exit::default(); self.states.len()];
        let mut missing_before = f64::INFINITY;
        for _ in 0..MAX_SWEEPS {
            let mut missing = 0.0_f64;
            for (at, steps, exit) in self.rows().rev().filter(|(at, _, _)| kept.get(*at) == Some(&true)) {
                let mut sum = *exit;
                let mut stays = 0.0;
                for (to, chance) in steps {
                    if *to as usize == at {
                        stays = *chance;
                    } else if keeps(*to) {
                        let next = solved.get(*to as usize).copied().unwrap_or_default();
                        sum.converted += chance * next.converted;
                        sum.value += chance * next.value;
                        sum.lost += chance * next.lost;
                    } else {
                        sum.lost += chance;
                    }
                }
                let leaves = 1.0 - stays;
                let sum = Exit { converted: sum.converted / leaves, value: sum.value / leaves, lost: sum.lost / leaves };
                missing = missing.max(1.0 - sum.converted - sum.lost);
                if let Some(place) = solved.get_mut(at) {
                    *place = sum;
                }
            }
            // Near one the rounding of floats keeps the sum from growing further.
            if missing <= MISSING || (missing < 1e-12 && missing >= missing_before) {
                return Some(solved);
            }
            missing_before = missing;
        }
        None
    }

    /// The same by elimination of one state after another. All quantities are positive and nothing is subtracted but by the
    /// division, which takes the sum of what leaves (Grassmann, Taksar, Heyman 1985): no digits are lost however long a journey is.
    #[expect(clippy::indexing_slicing, reason = "states number the rows and columns of the matrix they size")]
    fn eliminate(&self, kept: &[bool]) -> Vec<Exit> {
        let n = self.states.len();
        let mut go = vec![0.0; n * n];
        let mut exits = vec![Exit::default(); n];
        for (at, steps, exit) in self.rows().filter(|(at, _, _)| kept[*at]) {
            exits[at] = *exit;
            for (to, chance) in steps {
                if kept[*to as usize] {
                    go[at * n + *to as usize] += chance;
                } else {
                    exits[at].lost += chance;
                }
            }
        }
        for out in (0..n).filter(|state| kept[*state]) {
            let leaves = exits[out].converted + exits[out].lost + go[out * n + out + 1..(out + 1) * n].iter().sum::<f64>();
            exits[out] = scaled(exits[out], 1.0 / leaves);
            for to in out + 1..n {
                go[out * n + to] /= leaves;
            }
            for from in out + 1..n {
                let through = std::mem::take(&mut go[from * n + out]);
                if through > 0.0 {
                    exits[from] = plus(exits[from], scaled(exits[out], through));
                    for to in out + 1..n {
                        go[from * n + to] += through * go[out * n + to];
                    }
                }
            }
        }
        for state in (0..n).rev() {
            for to in state + 1..n {
                exits[state] = plus(exits[state], scaled(exits[to], go[state * n + to]));
            }
        }
        exits
    }
}

fn scaled(Exit { converted, value, lost }: Exit, by: f64) -> Exit {
    Exit { converted: converted * by, value: value * by, lost: lost * by }
}

fn plus(a: Exit, b: Exit) -> Exit {
    Exit { converted: a.converted + b.converted, value: a.value + b.value, lost: a.lost + b.lost }
}
