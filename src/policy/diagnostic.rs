//! What can be wrong with policies, and how it is told: a stable code, the place, what to do.
//!
//! A [`Diagnostic`] is a `miette` diagnostic; how it is drawn is the caller's choice.

use std::fmt;

use miette::{Diagnostic as _, LabeledSpan, Severity, SourceCode};

use super::source::{Place, harmless};
use crate::units;

/// One finding about policies or their lists.
#[derive(Clone, Debug)]
pub struct Diagnostic(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    /// What it is about, the first part of its code.
    area: &'static str,
    problem: Problem,
    place: Option<Place>,
    /// Further places, in the same file.
    others: Vec<(Place, String)>,
    /// Further places in other files.
    elsewhere: Vec<Note>,
    help: Option<String>,
}

/// A further place, in another file.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
struct Note {
    message: String,
    place: Place,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum Problem {
    // Files.
    /// A file or folder cannot be read.
    #[error("cannot read `{path}`: {reason}")]
    #[diagnostic(code(policy::unreadable))]
    Unreadable {
        /// The path.
        path: String,
        /// Why, in the system's words.
        reason: String,
    },
    /// A folder without policy files.
    #[error("no policy files in `{path}`")]
    #[diagnostic(code(policy::no_files))]
    NoFiles {
        /// The folder.
        path: String,
    },
    /// A bound on size or number.
    #[error("{what}: at most {max} are allowed")]
    #[diagnostic(code(policy::too_many))]
    TooMany {
        /// What there is too much of.
        what: String,
        /// The bound.
        max: String,
    },
    /// A value of the right kind that makes no sense.
    #[error("{complaint}")]
    #[diagnostic(code(policy::bad_value))]
    BadValue {
        /// What is wrong.
        complaint: String,
    },
    /// Findings beyond the first thousand.
    #[error("{count} more findings are not shown")]
    #[diagnostic(code(policy::more))]
    More {
        /// How many.
        count: usize,
    },
    /// Not TOML.
    #[error("{message}")]
    #[diagnostic(code(policy::syntax))]
    Syntax {
        /// What the parser says.
        message: String,
    },

    /// The wrong kind of file.
    #[error("this is a configuration of the agent, not a policy file")]
    #[diagnostic(code(policy::configuration))]
    Configuration,

    /// The mirror of it. The code is `config::...`.
    #[error("this is a policy file, not a configuration of the agent")]
    #[diagnostic(code(policy::policies))]
    Policies,

    /// Tests of policies where something else belongs.
    #[error("these are tests of policies, not {wanted}")]
    #[diagnostic(code(policy::tests))]
    Tests {
        /// What belongs there.
        wanted: &'static str,
    },

    // Keys and values.
    /// A key that means nothing here.
    #[error("unknown key `{key}` in {place}")]
    #[diagnostic(code(policy::unknown_key))]
    UnknownKey {
        /// The key.
        key: String,
        /// In what.
        place: &'static str,
    },
    /// A key that must be there.
    #[error("{place} lacks `{key}`")]
    #[diagnostic(code(policy::missing_key))]
    MissingKey {
        /// The key.
        key: &'static str,
        /// What lacks it.
        place: &'static str,
    },
    /// A value of another kind.
    #[error("{what} must be {wanted}, not {found}")]
    #[diagnostic(code(policy::wrong_type))]
    WrongType {
        /// The key, or what the value stands for.
        what: String,
        /// The kind it must be.
        wanted: &'static str,
        /// The kind it is.
        found: &'static str,
    },
    /// A name with characters that names don't have.
    #[error("`{name}` is not a name for {what}")]
    #[diagnostic(code(policy::bad_name))]
    BadName {
        /// The name.
        name: String,
        /// Of what.
        what: &'static str,
    },
    /// A name that is taken.
    #[error("{what} `{name}` is defined twice")]
    #[diagnostic(code(policy::duplicate))]
    Duplicate {
        /// Policy or list.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A word that is none of those possible.
    #[error("unknown {what} `{word}`")]
    #[diagnostic(code(policy::unknown_word))]
    UnknownWord {
        /// What the word is for.
        what: &'static str,
        /// The word.
        word: String,
    },
    /// Not a quantity, or of the wrong unit.
    #[error("{0}")]
    #[diagnostic(code(policy::bad_quantity))]
    BadQuantity(units::Reason),
    /// A quantity that is too small or too large where it stands.
    #[error("{what} of `{value}` is out of bounds")]
    #[diagnostic(code(policy::out_of_bounds))]
    OutOfBounds {
        /// The key.
        what: String,
        /// The value.
        value: String,
    },
    /// `include_private` where it means nothing.
    #[error("`include_private` has no meaning in scope `{scope}`")]
    #[diagnostic(code(policy::include_private))]
    IncludePrivate {
        /// The scope.
        scope: &'static str,
    },

    /// `members` where there are none.
    #[error("`members` has no meaning in scope `{scope}`")]
    #[diagnostic(code(policy::members))]
    Members {
        /// The scope.
        scope: &'static str,
    },

    // Conditions.
    /// A condition without a test.
    #[error("{what} is empty")]
    #[diagnostic(code(policy::empty_condition))]
    EmptyCondition {
        /// Which.
        what: String,
    },
    /// A field that the scope has not.
    #[error("scope `{scope}` has no field `{field}`")]
    #[diagnostic(code(policy::unknown_field))]
    UnknownField {
        /// The field.
        field: String,
        /// The scope.
        scope: &'static str,
    },
    /// A test that this kind of field cannot be put to.
    #[error("`{field}` is {kind}: {complaint}")]
    #[diagnostic(code(policy::wrong_test))]
    WrongTest {
        /// The field.
        field: String,
        /// What the field holds.
        kind: &'static str,
        /// What is wrong with that.
        complaint: String,
    },
    /// Not an operator.
    #[error("unknown operator `{operator}`")]
    #[diagnostic(code(policy::unknown_operator))]
    UnknownOperator {
        /// What stands there.
        operator: String,
    },
    /// A multiple of the population that makes no sense.
    #[error("{complaint}")]
    #[diagnostic(code(policy::bad_population))]
    BadPopulation {
        /// What is wrong.
        complaint: String,
    },
    /// Not a version.
    #[error("`{text}` is not a version")]
    #[diagnostic(code(policy::bad_version))]
    BadVersion {
        /// What stands there.
        text: String,
    },
    /// Not a regular expression.
    #[error("the pattern is {complaint}")]
    #[diagnostic(code(policy::bad_regex))]
    BadRegex {
        /// What the regex parser says.
        complaint: String,
    },
    /// Not an address.
    #[error("`{text}` is not an address or subnet")]
    #[diagnostic(code(policy::bad_address))]
    BadAddress {
        /// What stands there.
        text: String,
    },
    /// What follows `in` cannot be searched.
    #[error("{complaint}")]
    #[diagnostic(code(policy::bad_list))]
    BadList {
        /// What is wrong.
        complaint: String,
    },
    /// No list of that name.
    #[error("no list is called `{name}`")]
    #[diagnostic(code(policy::unknown_list))]
    UnknownList {
        /// The name.
        name: String,
    },

    /// A `when` by which everybody around an attacker would be hit.
    #[error("`when` tests nothing of the {scope} itself, only what is around it")]
    #[diagnostic(code(policy::nothing_of_its_own))]
    NothingOfItsOwn {
        /// What the policy looks at.
        scope: &'static str,
    },

    // Actions.
    /// An action that the scope does not go with.
    #[error("`{action}` cannot act on scope `{scope}`")]
    #[diagnostic(code(policy::action_scope))]
    ActionScope {
        /// The action.
        action: &'static str,
        /// The scope.
        scope: &'static str,
    },
    /// A rung that is milder than the one before.
    #[error("this rung is milder than the one before")]
    #[diagnostic(code(policy::falling_ladder))]
    FallingLadder,
    /// A URL in a policy file.
    #[error("daemon URLs do not belong in policy files")]
    #[diagnostic(code(policy::inline_url))]
    InlineUrl,
    /// A daemon that is not named by its host and port; not shown, for it may be a part of a URL.
    #[error("a daemon is named by its host and port")]
    #[diagnostic(code(policy::bad_daemon))]
    BadDaemon,

    /// The daemons' URLs can be read, and are wrong. The code is `config::...`.
    #[error("{told}")]
    #[diagnostic(code(policy::bad_daemons))]
    BadDaemons {
        /// What is wrong, and what to do.
        told: String,
    },

    /// How many slots the server has can be read, and is wrong. The code is `config::...`.
    #[error("{told}")]
    #[diagnostic(code(policy::bad_slots))]
    BadSlots {
        /// What is wrong, and what to do.
        told: String,
    },

    /// A key or password can be read, and is wrong. The code is `config::...`.
    #[error("{told}")]
    #[diagnostic(code(policy::bad_secret))]
    BadSecret {
        /// What is wrong, and what to do.
        told: String,
    },

    /// `ElectrumX`'s services can be read, and the canary has nowhere to go. The code is `config::...`.
    #[error("{told}")]
    #[diagnostic(code(policy::bad_canary))]
    BadCanary {
        /// What is wrong, and what to do.
        told: String,
    },

    /// No agent can work with the journal. The code is `config::...`.
    #[error("{told}")]
    #[diagnostic(code(policy::bad_journal))]
    BadJournal {
        /// What is wrong, and what to do.
        told: String,
    },

    // Warnings.
    /// Tests that no target can pass.
    #[error("{what} can never hold")]
    #[diagnostic(code(policy::never_holds), severity(Warning))]
    NeverHolds {
        /// Which.
        what: String,
    },
    /// A test that every target passes.
    #[error("{what} always holds")]
    #[diagnostic(code(policy::always_holds), severity(Warning))]
    AlwaysHolds {
        /// Which.
        what: String,
    },
    /// A multiple of what is normal without a fixed threshold beside it.
    #[error("{what} has no floor")]
    #[diagnostic(code(policy::no_floor), severity(Warning))]
    NoFloor {
        /// Which.
        what: String,
    },
    /// A policy that acts on those who did nothing, too.
    #[error("policy `{policy}` acts on all members, those who did nothing included")]
    #[diagnostic(code(policy::acts_on_all), severity(Warning))]
    ActsOnAll {
        /// The policy.
        policy: String,
    },
    /// A policy that acts on those who did nothing where others do something.
    #[error(
        "policy `{policy}` may hit bystanders: none of its tests is of what the {scope} itself does"
    )]
    #[diagnostic(code(policy::hits_bystanders), severity(Warning))]
    HitsBystanders {
        /// The policy.
        policy: String,
        /// What it looks at.
        scope: &'static str,
    },
    /// A test that cannot tell who did it.
    #[error("policy `{policy}` never finds anybody to act on: nobody's part of `{field}` is known")]
    #[diagnostic(code(policy::nobody_guilty), severity(Warning))]
    NobodyGuilty {
        /// The policy.
        policy: String,
        /// The field.
        field: String,
    },
    /// An earlier policy does the same sooner.
    #[error("policy `{policy}` is shadowed by `{by}`")]
    #[diagnostic(code(policy::shadowed), severity(Warning))]
    Shadowed {
        /// The one without effect.
        policy: String,
        /// The one that has it.
        by: String,
    },
    /// `unless` takes away all that `when` gives.
    #[error("policy `{policy}` never acts: `unless` holds whenever `when` does")]
    #[diagnostic(code(policy::never_acts), severity(Warning))]
    NeverActs {
        /// The policy.
        policy: String,
    },
    /// An exception that `when` rules out.
    #[error("this exception never applies: it cannot hold together with `when`")]
    #[diagnostic(code(policy::idle_exception), severity(Warning))]
    IdleException,
    /// A field that the server does not give.
    #[error("this server does not give `{field}`")]
    #[diagnostic(code(policy::unavailable_field), severity(Warning))]
    UnavailableField {
        /// The field.
        field: String,
    },
    /// A daemon that the configuration does not name.
    #[error("policy `{policy}` goes to `{daemon}`, which is none of `[server.daemon]`")]
    #[diagnostic(code(policy::unknown_daemon), severity(Warning))]
    UnknownDaemon {
        /// The policy.
        policy: String,
        /// The daemon.
        daemon: String,
    },
    /// The daemons' URLs cannot be read here, or something else is not as it should be with them.
    /// The code is `config::...`.
    #[error("{told}")]
    #[diagnostic(code(policy::daemons), severity(Warning))]
    Daemons {
        /// What is wrong, and what to do.
        told: String,
    },
    /// How many slots the server has cannot be read here. The code is `config::...`.
    #[error("{told}")]
    #[diagnostic(code(policy::slots), severity(Warning))]
    Slots {
        /// What is wrong, and what to do.
        told: String,
    },
    /// A key or password cannot be read here, or by everybody. The code is `config::...`.
    #[error("{told}")]
    #[diagnostic(code(policy::secret), severity(Warning))]
    Secret {
        /// What is wrong, and what to do.
        told: String,
    },
    /// `ElectrumX`'s services cannot be read here. The code is `config::...`.
    #[error("{told}")]
    #[diagnostic(code(policy::canary), severity(Warning))]
    Canary {
        /// What is wrong, and what to do.
        told: String,
    },
    /// The journal cannot be kept here, or by this user. The code is `config::...`.
    #[error("{told}")]
    #[diagnostic(code(policy::journal), severity(Warning))]
    Journal {
        /// What is wrong, and what to do.
        told: String,
    },
    /// The server is placed so that policies cannot work well, or others can control it. The code is
    /// `server::...`.
    #[error("{told}")]
    #[diagnostic(code(policy::placement), severity(Warning))]
    Placement {
        /// What is wrong, and what to do.
        told: String,
    },
    /// A list that nothing uses.
    #[error("list `{name}` is not used")]
    #[diagnostic(code(policy::unused_list), severity(Warning))]
    UnusedList {
        /// The list.
        name: String,
    },
    /// A condition for not waiting, in a policy that never waits.
    #[error("`at_once` has no effect")]
    #[diagnostic(code(policy::unused_at_once), severity(Warning))]
    UnusedAtOnce,
    /// A window that nothing is taken over.
    #[error("`window` has no effect")]
    #[diagnostic(code(policy::unused_window), severity(Warning))]
    UnusedWindow,
    /// An address with bits beyond its prefix.
    #[error("`{text}` means `{net}`")]
    #[diagnostic(code(policy::host_bits), severity(Warning))]
    HostBits {
        /// As written.
        text: String,
        /// As read.
        net: String,
    },
}

impl Diagnostic {
    pub(crate) fn new(problem: Problem) -> Self {
        Self(Box::new(Parts {
            area: "policy",
            problem,
            place: None,
            others: Vec::new(),
            elsewhere: Vec::new(),
            help: None,
        }))
    }

    /// Something about the daemons' URLs that is no mistake in a file.
    pub(crate) fn of_daemons(told: impl fmt::Display) -> Self {
        let told = told.to_string();
        Self::new(Problem::Daemons { told }).of_config()
    }

    /// As [`of_daemons`](Self::of_daemons), and an error.
    pub(crate) fn of_bad_daemons(told: impl fmt::Display) -> Self {
        let told = told.to_string();
        Self::new(Problem::BadDaemons { told }).of_config()
    }

    /// The slots are not known; a warning if an agent elsewhere may know them.
    pub(crate) fn of_slots(told: impl fmt::Display, is_warning: bool) -> Self {
        let told = told.to_string();
        let problem = if is_warning {
            Problem::Slots { told }
        } else {
            Problem::BadSlots { told }
        };
        Self::new(problem).of_config()
    }

    /// Something about a key or a password; a warning if an agent elsewhere may get on with it.
    pub(crate) fn of_secret(told: impl fmt::Display, is_warning: bool) -> Self {
        let told = told.to_string();
        let problem = if is_warning {
            Problem::Secret { told }
        } else {
            Problem::BadSecret { told }
        };
        Self::new(problem).of_config()
    }

    /// Something about where the canary goes that is no mistake in a file; a warning if an agent elsewhere
    /// may get on with it.
    pub(crate) fn of_canary(told: impl fmt::Display, is_warning: bool) -> Self {
        let told = told.to_string();
        let problem = if is_warning {
            Problem::Canary { told }
        } else {
            Problem::BadCanary { told }
        };
        Self::new(problem).of_config()
    }

    /// Something about the journal; a warning if an agent elsewhere may get on with it.
    pub(crate) fn of_journal(told: impl fmt::Display, is_warning: bool) -> Self {
        let told = told.to_string();
        let problem = if is_warning {
            Problem::Journal { told }
        } else {
            Problem::BadJournal { told }
        };
        Self::new(problem).of_config()
    }

    /// Something about a server that was asked.
    pub(crate) fn of_server(told: impl fmt::Display) -> Self {
        let told = told.to_string();
        let mut finding = Self::new(Problem::Placement { told });
        finding.0.area = "server";
        finding
    }

    /// A value that makes no sense.
    pub(crate) fn complaint(complaint: String) -> Self {
        Self::new(Problem::BadValue { complaint })
    }

    /// Its code is then `config::...`: the agent's configuration is read by the same means.
    pub(crate) fn of_config(mut self) -> Self {
        self.0.area = "config";
        self
    }

    /// Its code is then `test::...`: it is about a test of policies.
    pub(crate) fn of_test(mut self) -> Self {
        self.0.area = "test";
        self
    }

    pub(crate) fn at(mut self, place: Place) -> Self {
        self.0.place = Some(place);
        self
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        self.help_maybe(Some(help.into()))
    }

    pub(crate) fn help_maybe(mut self, help: Option<String>) -> Self {
        self.0.help = help.map(|help| harmless(&help));
        self
    }

    /// A further place; in another file it becomes a finding of its own below this one.
    pub(crate) fn also(mut self, place: Place, label: impl Into<String>) -> Self {
        let label = label.into();
        let here = self.0.place.as_ref();
        if here.is_some_and(|here| std::sync::Arc::ptr_eq(&here.text, &place.text)) {
            self.0.others.push((place, label));
        } else {
            let message = label;
            self.0.elsewhere.push(Note { message, place });
        }
        self
    }

    /// Whether its place is within `place`.
    pub(crate) fn stands_in(&self, place: &Place) -> bool {
        self.0.place.as_ref().is_some_and(|own| {
            std::sync::Arc::ptr_eq(&own.text, &place.text)
                && place.span.start <= own.span.start
                && own.span.end <= place.span.end
        })
    }

    /// What is wrong; texts in it may be as hostile as the file.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// Whether it is an error; if not, it is a warning.
    pub fn is_error(&self) -> bool {
        self.0
            .problem
            .severity()
            .is_none_or(|s| s == Severity::Error)
    }

    /// The stable code: `policy::unknown_field`.
    pub fn code(&self) -> String {
        let code = self.0.problem.code().map(|code| code.to_string());
        let code = code.unwrap_or_default();
        match code.split_once("::") {
            Some((_, name)) => format!("{}::{name}", self.0.area),
            None => code,
        }
    }

    /// The file that it is about, if it has been read.
    pub fn file(&self) -> Option<&str> {
        self.0.place.as_ref().map(|place| place.text.name.as_str())
    }

    /// Line and column in that file, from 1; columns count characters.
    pub fn line_column(&self) -> Option<(usize, usize)> {
        let place = self.0.place.as_ref()?;
        Some(place.text.line_column(place.span.start))
    }

    /// What to do about it.
    pub fn advice(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The text underlined.
    pub fn underlined(&self) -> Option<&str> {
        let place = self.0.place.as_ref()?;
        place.text.shown.inner().get(place.span.clone())
    }

    /// For sorting within a file.
    pub(crate) fn offset(&self) -> usize {
        self.0.place.as_ref().map_or(0, |place| place.span.start)
    }
}

/// On one line, without control characters or credentials, whatever the files hold.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = harmless(&self.0.problem.to_string());
        f.write_str(&told.replace(['\n', '\t'], " "))
    }
}

impl std::error::Error for Diagnostic {}

impl miette::Diagnostic for Diagnostic {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(Diagnostic::code(self)))
    }

    fn severity(&self) -> Option<Severity> {
        self.0.problem.severity()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as _)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0
            .place
            .as_ref()
            .map(|place| &place.text.shown as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.0.place.as_ref()?;
        let first = LabeledSpan::new_primary_with_span(None, place.span.clone());
        let others = self.0.others.iter().map(|(place, label)| {
            LabeledSpan::new_with_span(Some(label.clone()), place.span.clone())
        });
        Some(Box::new(std::iter::once(first).chain(others)))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        if self.0.elsewhere.is_empty() {
            return None;
        }
        Some(Box::new(
            self.0
                .elsewhere
                .iter()
                .map(|d| d as &dyn miette::Diagnostic),
        ))
    }
}

impl miette::Diagnostic for Note {
    fn severity(&self) -> Option<Severity> {
        Some(Severity::Advice)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.place.text.shown)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.place.span.clone();
        let label = LabeledSpan::new_primary_with_span(None, span);
        Some(Box::new(std::iter::once(label)))
    }
}

/// The findings of a run, bounded: a broken file must not bury its reader.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Vec<Diagnostic>,
    more: usize,
}

impl Findings {
    const MAX: usize = 1_000;

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        if self.found.len() < Self::MAX {
            self.found.push(diagnostic);
        } else {
            self.more += 1;
        }
    }

    /// The value, or its finding noted.
    pub(crate) fn accept<T>(&mut self, read: Result<T, Diagnostic>) -> Option<T> {
        read.map_err(|finding| self.push(finding)).ok()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.found.len() + self.more
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.more > 0 || self.found.iter().any(Diagnostic::is_error)
    }

    /// In the order of `files`, and within a file from top to bottom.
    pub(crate) fn into_sorted(mut self, files: &[&str]) -> Vec<Diagnostic> {
        self.found.sort_by_key(|finding| {
            let file = finding.file();
            match files.iter().position(|&name| Some(name) == file) {
                Some(rank) => (rank, finding.offset()),
                // What is not in a policy file stays in the order found.
                None => (usize::MAX, 0),
            }
        });
        if self.more > 0 {
            let count = self.more;
            self.found.push(Diagnostic::new(Problem::More { count }));
        }
        self.found
    }
}

/// The candidate that `word` is most likely meant to be.
pub(crate) fn closest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    // Long junk is no misspelling, and comparing it would cost its square.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_lowercase().replace(['-', ' '], "_");
    candidates
        .into_iter()
        .map(|candidate| {
            let plain = candidate.replace('-', "_");
            (strsim::damerau_levenshtein(&word, &plain), candidate)
        })
        .filter(|&(distance, candidate)| {
            distance <= 1 + candidate.len() / 4 && distance < candidate.len()
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// The candidates, those first that `word` is most likely meant to be.
pub(crate) fn by_nearness<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Vec<&'c str> {
    let mut candidates: Vec<&str> = candidates.into_iter().collect();
    // As with `closest`, long junk is not compared.
    let word = word.get(..64).unwrap_or(word);
    if word.len() <= 64 {
        candidates.sort_by_cached_key(|candidate| strsim::damerau_levenshtein(word, candidate));
    }
    candidates
}

/// `did you mean ...?`, if there is a likely candidate.
pub(crate) fn did_you_mean<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<String> {
    closest(word, candidates).map(|close| format!("did you mean `{close}`?"))
}
