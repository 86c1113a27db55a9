"""A message while it is read: what was read is blanked; what stands before a word says if it is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from tastemaker.converse.constraints import Change, Clause

NEGATION = re.compile(
    r"\b(?:no|not(?! (?:exceed|exceeding|above|over|below|under|more|less)\b)|neither|nor|nothing|never|none"
    r" of|without|except|but not|excluding|anything but|other than|avoid|skip"
    r"|spare (?:me|us)|save (?:me|us) from|(?:stay|steer|keep|staying) (?:away|clear) (?:from|of)|lay off|go"
    r" easy on"
    r"|free (?:of|from)|count me out (?:of|for)|no more|cut out"
    r"|leave out|less of|w/o|zero|ban|banish|hold the|too many|too much|unless (?:it|they|that)(?:'s|'re| is|"
    r" are| takes?| costs?| ha[sv]e?)"
    r"|(?:don'?t|do not|didn'?t)"
    r" (?:want|like|need|play|give|show|do|wear|eat|drink|use|watch|enjoy|fancy|care for"
    r"|go for|buy|suggest|recommend|include)(?: me| us)?"
    r"|forget(?! (?:all|everything|what|that|this|it|the last|i|me)\b)"
    r"|(?<!non-)(?<!non )stop (?:with|showing|playing|giving|suggesting|recommending|sending|offering)"
    r"|(?<![\w'] )enough(?! (?:for|to)\b)"
    r"|(?:that'?s|that is|there'?s|there is|seen|heard|more than|quite|okay|ok) enough"
    r"|(?:seen|heard|watched|read|played|done) (?:all|every)|(?:nobody|no-?one)(?: \w+){0,2}"
    r" (?:likes?|wants?|enjoys?|needs?|cares?"
    r" for)|(?:scared|afraid|terrified|frightened|weary|bored|intolerant)"
    r" (?:of|by|with|to)|loathes?|detests?|despises?|hate[sd]?"
    r"|(?:can'?t|cannot|couldn'?t)"
    r" (?:stand|bear|be|wear|eat|drink|have|use|do|play|handle|take|watch|tolerate|abide"
    r"|stomach)|must ?n[o']t"
    r" be|shouldn'?t be"
    r"|sick of|tired of|enough of|had enough|(?:is|are|was|were|would|should|need|must)n'?t(?!"
    r" mind)|(?:is|are|be) not|weren?'?t|rather than|instead of|lose"
    r" the|minus|dislikes?|doesn'?t|allergic to|fed up with)\b[^.;:!?]*$",
    re.IGNORECASE,
)
POSITIVE = re.compile(
    r"\b(?:but|just|only|always|instead(?! of)|please give|rather(?! than)|i want|i'd like|make it"
    r"|(?<!n't )(?<!not )(?<!never )(?:give me|try))\b(?!"
    r" (?:not|no)\b)|,\s*(?:an?|some)\b|\b(?:and|but) (?:is|are|it's|has|have)\b(?! (?:not|no)\b)",
    re.IGNORECASE,
)
_NO = r"(?:(?:is|are|was|were)(?: not|n'?t)|'s not)(?: really| quite| exactly| at all)?"
BEHIND = re.compile(  # what refuses the words before it: "leather isn't for me"
    rf"\b{_NO} (?:for (?:me|us|him|her|them|my|our)|(?:my|our|his|her|their) |(?:what|an"
    r" option|allowed|wanted"
    r"|welcome|acceptable|okay|ok)\b)|\b(?:is|are) (?:out(?! of stock| of print| on| now| in| there)|a no|off"
    r" limits"
    r"|off the table|excluded|banned|forbidden|not on)\b|\b(?:excluded|banned|forbidden|prohibited)\b"
    r"|\b(?:bore|annoy|irritate|scare|frighten|disgust|depress)s? (?:me|us|him|her|them|my|everyone)\b"
    r"|\b(?:puts?|turns?) (?:me|us|him|her|them) off\b|\bleaves? (?:me|us|him|her|them) cold\b"
    r"|\bgives? (?:me|us|him|her|them) (?:nightmares|hives|a rash)\b|\bsucks?\b"
    r"|\bmakes? (?:me|us|him|her|them) (?:sick|ill|itch|cringe|sad|uncomfortable)\b"
    r"|\b(?:don'?t|doesn'?t|do not|does not) (?:appeal|interest|suit|do it|work for)\b|-free\b"
    r"|\?\W*(?:no thank|nope\b|nah\b|no way\b|never\b)|, no thank",
    re.IGNORECASE,
)
_HEADED = re.compile(  # "not my thing: horror"
    r"\b(not"
    r" (?:my|for|interested)[^.,;:!?]{0,20}|dislik(?:es?|ing)|hates?|avoid(?:ing)?|exclud(?:es?|ed|ing)|no"
    r"|without|never|banned?|allergies|skip|except|minus|dealbreakers?) ?:(?= )",
    re.IGNORECASE,
)
_ANYTHING_BUT = re.compile(
    r"\b(?:(?:any|every)(?:thing|where|one|body)|any(?: other)? \w+) (?:but|except|other than|besides)\b",
    re.IGNORECASE,
)
_AWAY = re.compile(
    r"[^.,;:!?]*?\b(?:away|out|at bay|off)(?! of (?:the|africa|\d))\b(?! (?:west|east|there))", re.I
)
_KEEPS = re.compile(
    r"\b(?:keep|leave|take|hold|rule)(?: (?:the|any|all|my|those|these|that))*\s*$", re.IGNORECASE
)
_BUT_ME = re.compile(
    r"[^.;!?]*?\b(?:but|except|though)(?: for)? (?:i|we|me|my \w+)(?:"
    r" (?:do|does|am|are|love|likes?|can|want)(?: (?:them|it|those))?)?\W*(?:$|,)",
    re.IGNORECASE,
)
REFUSING = re.compile(
    rf"{NEGATION.pattern.removesuffix('[^.;:!?]*$')}|{BEHIND.pattern}|\bnon\b", re.IGNORECASE
)
_UP_TO = re.compile(
    r"(?:(?!\b(?:but|because|since|so|if|as|than|though|although|while|when|that|which|who)\b)[^.,;:!?\x00]){1,60}?$",
    re.IGNORECASE,
)
TWICE = re.compile(  # two refusals are none
    r"\bnothing (?:wrong with|against|beats?|better than|unless (?:it|they)(?:'s|'re| is| are))"
    r"|\b(?:can'?t|cannot|never) get (?:enough|too much|too many|tired|sick)(?: of)?|\b(?:never|not)"
    r" (?:sick|tired|bored|afraid"
    r"|scared|allergic|averse|opposed) (?:of|to|by|with)"
    r"|\b(?:would|could|can|will|do|does|am|did)(?:n'?t| not) (?:ever )?(?:say no to|refuse|turn"
    r" down|forget|skip|avoid|exclude|hate"
    r"|dislike|leave out|have anything against)|\bno (?:objections?|problem|issues?) (?:to|with|against)"
    r"|\bused to (?:hate|dislike|avoid|loathe)|\bhate to\b|\b(?:don'?t|never|do not) stop(?: \w+ing)?"
    r"|\bnot (?:nearly )?enough|\bcouldn'?t be (?:happier|more)|\bwhy don'?t (?:you|we|i)\b|\bdon'?t"
    r" (?:mind|get me wrong)",
    re.IGNORECASE,
)
PREFER = re.compile(
    r"\b(?:ideally|preferabl[ey]|if possible|if you can|would be nice|a bonus|prefer|(?:maybe|perhaps)(?!"
    r" (?:find|show|give|get|play|look|recommend|suggest))|wouldn'?t"
    r" mind|leaning towards|bonus points)\b",
    re.IGNORECASE,
)
CORRECTION = re.compile(
    r"\b(?:actually,? no(?= *[,.;!-]| (?:wait|make|sorry|an?|in|just)\b)|no,?"
    r" (?:wait|make|sorry|an?)|wait,? no|i mean|scratch that|or rather)\b",
    re.IGNORECASE,
)
TOGETHER = re.compile(
    r"^ *$|\b(?:that|which|who)(?:'s| is| are| was)\b|\b(?:both|also|at the same time|at once)\b",
    re.IGNORECASE,
)
CONTRAST = re.compile(r"\b(?:but|rather|instead|today|this time)\b", re.IGNORECASE)
INSTEAD = re.compile(
    r"\b(?:instead|i meant?|i said|change (?:it|that|the)|make (?:it|that|them)|switch(?: it)? to|sorry|on"
    r" second thoughts?|scratch that)\b",
    re.IGNORECASE,
)
_NONE = r"(?:none|nothing|no such things?|no ones?|no(?: [\w-]+){1,2}(?=,| then))"
FALLBACK = re.compile(  # between what is wished first and what is wished where there is none
    rf"[ ,.;:-]*(?:(?:and|but|or)[ ,]+)?\b(?:if (?:(?:there(?:'s| is| are)|you have|they have) {_NONE}"
    r"|there (?:isn't|aren't|is not|are not)(?: any| one)?|none(?: (?:is|are|left|available|exists?|fits?))*"
    r"|not(?: possible| available| there)*(?=,| then)"
    r"|(?:you|they|we) (?:don't|do not|haven't)(?: have| got)*(?: (?:it|that|any|one|them|those|these|left))*"
    r"|nothing fits|(?:it is |it's |that is |that's )?(?:unavailable|impossible|sold out))(?:,? then)?"
    r"|otherwise|failing (?:that|which)|or else|as a (?:fallback|second choice))[ ,:]+(?:then )?"
    r"(?:i(?:'ll| will| would|'d) (?:take|have|go for) |(?:i )?take |give me |show me |make it |go for )?",
    re.IGNORECASE,
)
NONE_OF = re.compile(  # "if there is no red, then": red is wished first
    r"^\W*if (?:there(?:'s| is| are)|you have|they have) (?:no|nothing)"
    r" ((?:[\w-]+ ){0,3}?[\w-]+?)(?:,| then\b)+ ",
    re.IGNORECASE,
)
RESTART = re.compile(
    r"\b(?:start(?:ing)? (?:over|afresh|again|from scratch)|from scratch|forget (?:everything(?!"
    r" (?:you|about|that|i)\b)|it all|all that|all of"
    r" that|everything i (?:said|asked)|what i (?:said|asked)[^.!?]*)"
    r"|clear (?:everything|all|it all)|reset|new search|something completely (?:different|else)|scrap (?:all"
    r" )?that|drop everything)\b",
    re.IGNORECASE,
)

REACH = 200  # letters before a word in which it can be refused


@dataclass
class Text:
    """A message while it is read; what was read is blanked, so that nothing is read twice."""

    text: str
    whole: str = ""
    changes: list[tuple[int, Change]] = field(default_factory=list)
    relative: set[str] = field(default_factory=set)  # fields that were compared with what was shown
    refused: dict[int, Clause] = field(default_factory=dict)  # numbers that were refused, as they were said

    def __post_init__(self) -> None:
        """The words as they came are kept beside."""
        self.whole = self.text

    def add(self, at: int, change: Change) -> None:
        """Keep a change with the strength and manner that its clause gives it."""
        clause = clause_of(self.whole, at)
        if change.op == "add" and change.kind == "must" and PREFER.search(self._said_with(at)):
            change = replace(change, kind="prefer")
        if change.op == "add" and INSTEAD.search(clause):
            change = replace(change, op="replace")
        self.changes.append((at, change))

    def _said_with(self, at: int) -> str:
        """The words around a place up to stops, commas and "but"."""
        buts = re.sub(r"\bbut\b", ",,,", self.whole, flags=re.IGNORECASE)
        return clause_of(buts, at, ",")

    def negated(self, at: int) -> bool:
        """Whether the words before a place refuse what stands there."""
        return negated(self.whole, at)

    def ends(self, start: int, end: int) -> None:
        """What stands here ends a refusal before it."""
        self.whole = self.whole[:start] + ";" * (end - start) + self.whole[end:]

    def take(self, start: int, end: int) -> None:
        self.text = self.text[:start] + "\x00" * (end - start) + self.text[end:]

    def leave(self, hit: re.Match[str]) -> None:
        """Put back what was taken and nothing here could be."""
        start, end = hit.span()
        self.text = self.text[:start] + self.whole[start:end] + self.text[end:]

    def each(self, pattern: str) -> list[re.Match[str]]:
        """Every match, each blanked once read."""
        hits = [hit for hit in re.finditer(pattern, self.text, re.IGNORECASE) if hit.group()]
        for hit in hits:
            self.take(hit.start(), hit.end())
        return hits


def _refused_behind(text: str, at: int) -> bool:
    """Whether what follows within the clause refuses what stands at a place: "horror excluded"."""
    clause = text[max(text.rfind(stop, 0, at) for stop in ".,;:!?") + 1 : at]
    for hit in BEHIND.finditer(text, at, at + REACH):
        between = text[at : hit.start()]
        wished = re.search(r"\b(?:and|or)\b", between) and re.search(
            r"\b(?:want|like|love|give|show|find|play|need|for|an?)\b", clause, re.IGNORECASE
        )
        if hit.group() == "-free" and not re.fullmatch(
            r"\w+(?:- ?(?:and|or|,) \w+)*", text[at : hit.start()]
        ):
            continue  # "vegan or nut-free" refuses nuts
        return hit.start() > at and _UP_TO.match(between) is not None and not wished
    return False


def negated(text: str, at: int) -> bool:
    """Whether the words around a place refuse what stands there."""
    before = _HEADED.sub(r"\1  ", TWICE.sub("", text[max(0, at - REACH) : at]))
    if _refused_behind(text, at) or (_KEEPS.search(before) and _AWAY.match(text, at)):
        return True
    if _BUT_ME.match(text, at):
        return False
    if re.search(r"\bnon[- ]$", before, re.IGNORECASE):
        return True
    if re.search(r"\b(?:less|fewer)(?: of)?(?: the)? $", before, re.IGNORECASE):
        return True
    before = _ANYTHING_BUT.sub("not", before)
    start = max(
        (
            hit.end()
            for hit in re.finditer(
                r"[.;!?]|\bbut\b(?! not)|\b(?:i want|i'd like)\b|(?<!n't )(?<!not )(?<!never"
                r" )\bgive me\b|" + CORRECTION.pattern,
                before,
                re.IGNORECASE,
            )
        ),
        default=0,
    )
    for phrase in BEHIND.finditer(before):  # what it refuses stands before: "leather isn't for me, canvas"
        subject = before[: phrase.start()].rstrip()
        if not re.search(
            r"(?:^|[.,;:!?]|\b(?:it|that|this|they|those|these|no|not))$", subject, re.IGNORECASE
        ):
            start = max(start, phrase.end())
    before = before[start:]
    if re.search(r"\b(?:rather|sooner|prefer)\b[^.;:!?]*\bthan (?:\w+ ){0,2}$", before, re.IGNORECASE):
        return True
    hit = NEGATION.search(before)
    if hit is None:
        return bool(re.match(r"\s*(?:not|no)\s+(?:an? |the |any )?$", before, re.IGNORECASE))
    if re.match(r"(?:not|no) (?:only|just|problem|worries|matter)\b", hit.group(), re.IGNORECASE):
        return False
    if answer := re.match(r"no,|no -|not? ?, ", hit.group(), re.IGNORECASE):  # "no, in D"; "no, not that"
        return NEGATION.search(hit.group(), answer.end()) is not None
    rest = hit.group()
    return not POSITIVE.search(rest)


def clause_of(text: str, at: int, more: str = "") -> str:
    """The words around a place up to the nearest stops, or `more` of them."""
    start = 1 + max(text.rfind(stop, 0, at) for stop in ".;!?" + more)
    end = min((place for stop in ".;!?" + more if (place := text.find(stop, at)) >= 0), default=len(text))
    return text[start:end]


def joined(between: str) -> bool:
    return (
        bool(
            re.fullmatch(
                r"[ ,/]*(?:(?:or|and|and/or|nor|as well as)\b)?(?: maybe)?(?: even)?(?: an?| the| in| some|"
                r" from)?[ ]*",
                between,
                re.IGNORECASE,
            )
        )
        and between.strip() != ""
    )
