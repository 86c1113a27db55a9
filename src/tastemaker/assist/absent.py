"""What a message asks for that the catalogue has not (kinds, names, values), so that it can be said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set

from tastemaker.assist.ranking import telling
from tastemaker.assist.shelf import Shelf
from tastemaker.converse.claims import safe
from tastemaker.converse.reading.passage import REFUSING, RESTART, negated
from tastemaker.converse.reading.plain import DIGITS, QUOTES, TENS, plain
from tastemaker.converse.reading.scales import DEGREE
from tastemaker.converse.reading.words import chat, english, fold, stop_words

_FORMS = english()["wanted"]
_FILLER = (
    r"(?:(?:(?:ones?|something|anything) with|me|us|you|to|um+|uh+|er+|like|only|just|kind|sort|of|an?|some"
    r"|any|one|the|another|your|nice|good|little)\s+)*"
)
_OBJECT = re.compile(rf"(?:{'|'.join(_FORMS['before'])})\s+{_FILLER}", re.IGNORECASE)
_SHORT = re.compile(rf"^\W*{_FILLER}", re.IGNORECASE)
_NAME = re.compile(r"\b(?:called|named|titled|entitled|by|of|from|in)\s+(?:the\s+)?(?=(\w))", re.IGNORECASE)
_KEY = re.compile(
    r"\b(?i:in|key of|key)\s+(?i:the key of )?([A-H](?:[ -](?i:sharp|flat)\b|[#♯♭])?)(?![\w'/#\x00-])(?!"
    r" [a-z])"
)
_TITLE = re.compile(
    r"(?:\b(?:called|named|titled|entitled)\s+[\"“]?|[\"“])((?-i:[A-Z])[\w'’]*(?:\s+[\w'’]+){0,7}?)(?:[\"”]|(?=[,.!?;]|$))",
    re.IGNORECASE,
)
# The thing behind a value that was read: "a red umbrella".
_BEHIND = re.compile(
    r"\x00 (?=[a-z][a-z-]{3,}(?:\W*$|[,.;!?]| (?:for|with|under|below|over|from|by|in|at|that|which)\b))"
)
_VERB = re.compile(
    r"\s+(?:an?|the|is|are|was|be|shall|should|will|would|has|have|had)\b", re.IGNORECASE
)  # behind a subject
_ALSO = re.compile(r"(?:\x00|\w)(?:,|,? or|,? and|,? nor)\s+(?:(?:an?|some|any)\s+)", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_LINKS = frozenset(["of", "the", "to", "a", "and", "in", "on", "my", "for", "with"])
_GENERIC = frozenset(_FORMS["generic"].split())
_OCCASIONS = re.compile(rf"\b(?:{'|'.join(_FORMS['occasions'].split())})s?\b", re.IGNORECASE)
_TURNS = frozenset(_FORMS["turns"].split())  # "actually", "honestly": how a thing is said, and no thing
_FOREIGN = frozenset(_FORMS["foreign"].split())  # small words of other tongues
_GENERAL = re.compile(
    r"\b(?:recommend|suggest|propose|what (?:should|shall|can|could) (?:i|we))\b", re.IGNORECASE
)
_RECOMMENDING = frozenset(_FORMS["recommending"].split())
_SMALL = (chat() - frozenset(_FORMS["kinds"].split())) | _GENERIC
_COUNTS = frozenset((*DIGITS, *TENS, "hundred", "thousand"))
_REFUSING = re.compile(
    r"\b(?:no|nothing|none|without|except|excluding|hate|dislike|avoid|(?:can'?t|cannot) (?:stand|bear)"
    r"|(?:don'?t|do not|doesn'?t) (?:want|like|need|care for|show me|give me)|(?:sick|tired) of|fed up with"
    r"|(?:is|are|was|were)(?:n'?t| not)(?= (?:in|from|by|about|set)\b)|allergic to|leave out"
    r"|any(?:thing|where|one|body) but|not(?="
    r" (?:(?:with|about|by|from|starring|featuring|any)\b|(?:(?:too|so|very|overly|that) )*[a-z'-]{3,}(?:\W*$"
    r"|[,.;!?]| (?:and|or|but)\b))))\s+(?:(?:with|by|too|so|very|overly"
    r"|about|from|of|for|in|set in|made in|starring|featuring|containing|involving|to do with|(?:that|which)"
    r" (?:has|have|is|are)|called|named|titled|the (?:words?|names?|brand|title)|words?"
    r"|any|an?|the|more|those|these|anything|something|films?|movies?|songs?|tunes?|books?|things?)\s+)*",
    re.IGNORECASE,
)
_WORDED = re.compile(  # words that are meant as words
    r"\b(?:(?:(?:any|the) words?|word) (?!please|at"
    r" all|in\b|or\b|and\b|that\b|is\b)(?P<w>[\"“']?[\w'-]+[\"”']?)|with (?P<i>(?:the word"
    r" )?[\"“']?[\w-]+[\"”']?)"
    r" in (?:the|its|their) (?:titles?|names?|descriptions?)|(?:called|named|titled|entitled)"
    r" (?P<c>[\"“']?[\w-]+[\"”']?))(?![\w'-])",
    re.IGNORECASE,
)
_OUTRIGHT = re.compile(r"\bwithout\b|\bwith\b", re.IGNORECASE)  # small talk counts behind it: "without love"
_NO_WORDS = frozenset(_FORMS["no_words"].split())
_IDIOM = re.compile(
    r"\b(?:not (?:sure|certain|convinced|impressed|interested|happy|bad|great|good|ideal|quite|really|exactly"
    r"|yet|now|today|necessarily|bothered|fussy|picky|ready|right|helpful|fair|fun|important|essential|required)|no"
    r" (?:idea|problem|worries|thanks?|matter|preferences?|way|need|hurry|rush|clue|doubt|wonder|luck|thank"
    r" you)|nothing (?:else|special|fits?|in particular))\b",
    re.IGNORECASE,
)
_THINGS = (
    r"(?:films?|movies?|books?|documentar(?:y|ies)|podcasts?|episodes?|stor(?:y|ies)|(?:some|any)thing|stuff)"
)
_TOPIC = re.compile(
    r"(?<!how )(?<!what )(?<!me )(?<!more )(?<!know )(?<!think )(?<!crazy )(?<!nothing )(?<!details )"
    rf"\b(?:about|{_THINGS} (?:on|with|w/|featuring|starring|involving)|set (?:in|on|at)|dealing with"
    r"|to do with|on the (?:subject|topic|theme) of)\s+(?:(?:an?|the|some|any|my|our|how|being|having)\s+)*",
    re.IGNORECASE,
)
_USE = re.compile(
    r"(?<!sorry )\bfor (?:(?:an?|the|some|going) )*"
    r"(?!(?:my|our|his|her|their|your|change|once|example|instance|sale|free|real|sure|now|later)\b)",
    re.IGNORECASE,
)
_NEXT = re.compile(r",?\s*(or|nor|and)\s+(?:(?:any|an?|the|with|by|about|from)\s+)*", re.IGNORECASE)
TERSE = 6  # words up to which a message without a verb of asking is itself what is asked for
LONGEST = 6  # words of what is said to be absent
MOST = 3  # things said to be absent in one answer


def absent(left: str, shelf: Shelf, named: Sequence[str], terse: bool) -> tuple[str, ...]:
    """What the words that nothing read (`left`, what was read blanked by NUL) ask for and no item has.

    named: the words that are names of items here, as they were said. terse: a few words may be all of a wish.
    """
    spots: dict[int, str] = {}
    values = shelf.value_names - {""}
    for start, phrase in _asked(left, terse):
        known = any(fold(name) in fold(phrase) or fold(phrase) in fold(name) for name in named)
        known = known or _holds(fold(phrase), values) or all(map(counted, fold(phrase).split()))
        if not known and not somewhere(phrase, shelf):
            spots.setdefault(start, safe(phrase)[:80])
    fields = shelf.catalogue.fields.values()
    keys = any(len(set(known.values) & set("ABCDEFG")) > 1 for known in fields)
    for hit in _KEY.finditer(left) if keys else ():
        key = re.sub(
            r"[ -]?(?:sharp|♯)", "#", re.sub(r"[ -]?(?:flat|♭)", "b", hit[1], flags=re.I), flags=re.I
        )
        if key.casefold() not in {value.casefold() for field in fields for value in field.values}:
            spots.setdefault(hit.start(1), hit[1])
    return tuple(dict.fromkeys(phrase for _, phrase in sorted(spots.items()) if phrase))[:MOST]


def refused(left: str, named: Sequence[str]) -> tuple[dict[str, None], tuple[str, ...]]:
    """What words that nothing read turn down ("nothing with zombies or vampires"), and the clauses that say
    so.
    named: as in `absent`.
    """
    things, clauses = dict[str, None](), list[str]()
    for hit in _REFUSING.finditer(left):
        if _IDIOM.match(left, hit.start()):
            continue
        phrases, end = _several(left, hit.end(), named, _OUTRIGHT.search(hit.group()) is not None)
        things |= dict.fromkeys(phrases)
        if phrases:
            clauses.append(left[hit.start() : end])
    return things, tuple(clauses)


def topics(left: str, named: Sequence[str]) -> tuple[list[str], list[str]]:
    """Subjects by words that nothing read ("about dogs or cats"), as clauses. named: as in `absent`."""
    things, clauses = list[str](), list[str]()
    for hit in _TOPIC.finditer(left):
        phrases, end = _several(left, hit.end(), named, True)
        links = list(phrases.values())
        if phrases and not all(map(counted, phrases)):
            things += [" or ".join(phrases)] if "or" in links else list(phrases)
            clauses.append(left[hit.start() : end])
    return things, clauses


def _several(left: str, start: int, named: Sequence[str], outright: bool) -> tuple[dict[str, str], int]:
    """Things in a row ("dogs or cats"), each with the word that joins it to the one before; and their end."""
    things, end, link = dict[str, str](), start, ""
    while run := next(_phrase(left, start, outright), None):
        at, phrase = run
        if at - start > 1 or any(fold(name) in fold(phrase) or fold(phrase) in fold(name) for name in named):
            break
        things[phrase], end = link, at + len(phrase)
        onward = _NEXT.match(left, end)
        if onward is None:
            break
        start, link = onward.end(), onward[1].lower()
    return things, end


def worded(message: str) -> tuple[dict[str, None], str]:
    """Words that are turned down ("without the word love"), and the message without them."""
    things = dict[str, None]()
    for hit in reversed(list(_WORDED.finditer(message))):
        if negated(message.translate(QUOTES), hit.start()):
            word = (hit["w"] or hit["i"] or hit["c"]).split()[-1].strip("\"“”'")
            things[safe(word)[:80]] = None
            message = message[: hit.start()] + message[hit.end() :]
    return things, message


def sought(message: str, turned_down: Sequence[str], restart: bool) -> str:
    """The message without what it turns down, and without starting over: what items may be looked for by."""
    whole = message = plain(message)
    for clause in turned_down:
        message = re.sub(re.escape(clause), " ", message, flags=re.IGNORECASE)
    message = RESTART.sub(" ", message) if restart else message
    message = ",".join(map(_unrefused, _IDIOM.sub(",", message).split(",")))
    rest = re.sub(r"\b(?:my|our) \w+", " ", REFUSING.sub(" ", message))
    return message if len(message) == len(whole) or telling(rest) else ""


def _unrefused(text: str) -> str:
    """A part of a message without the words that are refused in it."""
    text = re.sub(r"\bless (?!than\b)\w+", " ", text)
    return re.sub(r"[\w'-]+", lambda hit: "" if negated(text, hit.start()) else hit[0], text)


def untold(left: str, shelf: Shelf) -> str:
    """What is said of a comparison that is all that was said and that no field here tells: "cheaper", "less
    violence", "nothing too spicy", "the longest".
    """
    comparatives = "|".join(sorted(map(re.escape, shelf.vocabulary.comparatives), key=len, reverse=True))
    hit = re.match(
        r"\W*(?:(?:and|but|now|ok|please|show me|give me|play|something|anything|one|ones|it|a|an|bit|little"
        r"|lot|much|even|far|slightly|that is|that's|maybe|i want|i'd like|with|the|what is|what's|which is"
        r"|which one is) )*"
        rf"(?:({comparatives})|(?:(?:not|nothing|none|without|never)(?: with)?(?: that is)?"
        r" (?:too|so|very|overly|that|much"
        r"|too much|too many|so much)|less|fewer|isn't too|not be too) ([\w'-]+)"
        rf"|({'|'.join(english()['too'])}|better|worse|louder|\w{{3,}}ier|(?<=bit |tle |uch |ven |tly |far"
        r" )\w{3,}er|(?!best|rest|latest|west|guest|test|quest|interest|forest)\w{2,}est|(?:most|least) \w+))"
        r"(?: ones?| than (?:that|this|it)(?: one)?| please| you have| there is| of (?:all|them)("
        r" all)?)*\W*$",
        left.replace("\0", " "),
        re.IGNORECASE,
    )
    if hit is None:
        return ""
    word = (hit[1] or hit[2] or hit[3]).lower()
    if hit[2]:
        known = word in {*stop_words(), "bad", "many", "sure", "far"} or bool(shelf.saying((word,)).any())
        return "" if known else f"Nothing is known here of ‘{word}’, so it counts for nothing."
    known = shelf.vocabulary.end_of(word)[1] is not None or bool(hit[3] and shelf.saying((word,)).any())
    return "" if known else f"Nothing is known here by which something is ‘{word}’."


def unscaled(left: str, shelf: Shelf) -> tuple[str, str]:
    """What is said of a comparison or an end of a scale that no field here tells, beside other words ("the
    shortest march"), and the words without it.
    """
    table = shelf.vocabulary.superlatives | {word: word for word in shelf.vocabulary.comparatives}
    table |= {f"too {word}": own for word, own in english()["too"].items()}
    measured = {word: english()["too"][word] for word in _FORMS["measured"].split()}
    dark, bare = (
        "|".join(re.escape(word) for word, own in words.items() if shelf.vocabulary.end_of(own)[1] is None)
        or "(?!)"
        for words in (table, measured)
    )
    hit = re.search(rf"\b(?:{dark})\b|{DEGREE}({bare})\b(?! (?:as|ago|time|enough))", left, re.IGNORECASE)
    phrase = hit and (hit[1] or hit[0])
    sure = hit and (hit[1] or hit[0].lower().startswith("the "))
    if not hit or not phrase or (not sure and shelf.saying(tuple(fold(phrase).split())).any()):
        return "", left
    rest = left.replace(phrase, "\0" * len(phrase))
    return f"Nothing is known here by which something is ‘{phrase.lower()}’.", rest


def not_here(words: Sequence[str]) -> str:
    """What is said about things that are not here; of words of another tongue nobody can say so."""
    strange = [each for each in words if each.split()[0] in _FOREIGN]
    missing = " and no ".join(f"‘{each}’" for each in words if each not in strange)
    unread = f"I did not understand {' and '.join(f'‘{each}’' for each in strange)}." if strange else ""
    return f"{f'There is no {missing} here that I know of. ' if missing else ''}{unread}".strip()


def counted(word: str) -> bool:
    """Whether a word is a number alone, which is nobody's name."""
    return re.fullmatch(r"\d+(?:st|nd|rd|th)?", word) is not None or word.lower() in _COUNTS


def _holds(phrase: str, values: Set[str]) -> bool:
    """Whether words are the name of a value, or hold one that is no mere letter."""
    return phrase in values or any(len(value) > 2 and f" {value} " in f" {phrase} " for value in values)


def unknown_titles(message: str, named: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Titles that are announced ("called ...", quoted) and nobody's, and the message without them."""
    titles = []
    for hit in reversed(list(_TITLE.finditer(message))):
        title = hit[1]
        if not any(fold(name) in fold(title) or fold(title) in fold(name) for name in named if fold(name)):
            titles.append(safe(title)[:80])
            message = message[: hit.start(1)] + "it" + message[hit.end(1) :]
    return tuple(titles[::-1]), message


def unused(left: str, shelf: Shelf, answer: str) -> str:
    """What is said of a use or an occasion that nothing here tells by word: "for hiking", "dinner for my
    wife". answer: what was said already.
    """
    uses = [phrase for hit in _USE.finditer(left) for _, phrase in _phrase(left, hit.end())]
    uses = [phrase for phrase in uses if not counted(phrase) and not somewhere(phrase, shelf)]
    occasions = dict.fromkeys(fold(hit[0]) for hit in _OCCASIONS.finditer(left))
    uses += [word for word in occasions if not shelf.saying((word,)).any() and word not in " ".join(uses)]
    uses = [phrase for phrase in uses if phrase not in answer][:MOST]
    if not uses:
        return ""
    words = " or ".join(f"‘{safe(phrase)[:80]}’" for phrase in uses)
    return f"No words here say {words}, so nothing is left out for it."


def _asked(left: str, terse: bool) -> Iterator[tuple[int, str]]:
    """(place, words) of each thing that is asked for in the words that are left."""
    starts = [hit.end() for hit in _OBJECT.finditer(left)]
    if not starts and terse and len(_WORD.findall(left)) <= TERSE and (hit := _SHORT.match(left)):
        starts = [hit.end()]
    if not starts and (hit := re.match(r"\W*(?:an?|some)\s+", left, re.IGNORECASE)):
        starts = [hit.end()]
    for start in starts:
        yield from ((at, text) for at, text in _phrase(left, start) if not _VERB.match(left, at + len(text)))
        stop = re.search(r"[.!?;]|$", left[start:])
        for also in _ALSO.finditer(left, start, start + (stop.start() if stop else 0)):
            yield from _phrase(left, also.end())
    for hit in _BEHIND.finditer(left):
        yield from _phrase(left, hit.end())
    for hit in _NAME.finditer(left):
        if hit[1].isupper() or re.match(r"called|named|titled|entitled", hit.group(), re.IGNORECASE):
            yield from _phrase(left, hit.end())


def _phrase(left: str, start: int, outright: bool = False) -> Iterator[tuple[int, str]]:
    """The run of telling words from a place; capitals go on over small words: "Stairway to Heaven".

    outright: words of small talk tell too.
    """
    words, end = 0, start
    begin = start
    for hit in _WORD.finditer(left, start):
        between = left[end : hit.start()]
        if (
            words >= LONGEST
            or (words and between.strip())
            or "\x00" in between
            or re.search(r"[.!?;:,]", between)
        ):
            break
        word = fold(hit.group())
        if not words and word in _TURNS:
            end = begin = hit.end()
            continue
        if (
            word in _LINKS
            and words
            and re.match(r"\s+(?:the\s+|a\s+)?[A-Z]", left[hit.end() :])
            and left[begin].isupper()
        ):
            continue
        small = hit.group().casefold().split("'")[0] if "'" in hit.group() else word
        if {word, small} & stop_words() or (word in _SMALL and words and not hit.group()[0].isupper()):
            break
        begin = hit.start() if not words else begin
        words, end = words + 1, hit.end()
    if words and not set(fold(left[begin:end]).split()) <= (_NO_WORDS if outright else _SMALL):
        yield begin, left[begin:end]


def somewhere(phrase: str, shelf: Shelf) -> bool:
    """Whether an item has all telling words of it in its title, maker or text; so words that tell nothing."""
    words = telling_words(phrase)
    return not words or bool(shelf.saying(words).any())


def general(message: str, occasion: bool = False) -> bool:
    """Whether a message asks for a recommendation and says nothing of what: "what should I watch tonight";
    of an `occasion` at most: "for dinner".
    """
    known = _RECOMMENDING.union(_FORMS["occasions"].split() if occasion else ())
    return _GENERAL.search(message) is not None and known.issuperset(fold(message).split())


def telling_words(phrase: str) -> tuple[str, ...]:
    """The words that tell something; none where all of them are of a letter or two."""
    words = tuple(w for w in fold(phrase).split() if w not in stop_words() and w not in _SMALL)
    return words if any(len(word) > 2 for word in words) else ()


def words_of(refusal: str) -> tuple[str, ...]:
    """The words that an item is left out for: the telling ones, or all where none is."""
    return telling_words(refusal) or tuple(fold(refusal).split())
