"""Numbers and years in a message: bounds, ranges and "around", for the field that they are meant for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from tastemaker.converse.catalogue import Field
from tastemaker.converse.constraints import Change, Clause, Strength, ends_of, spanned, spanning
from tastemaker.converse.reading.passage import CORRECTION, NEGATION, REACH, Text
from tastemaker.converse.reading.plain import DIGITS, SECONDS, factor
from tastemaker.converse.reading.vocabulary import Vocabulary
from tastemaker.converse.reading.words import chat, english, stop_words

NUMBER = (  # no part of a fraction, a time of day or a power
    r"(?<![\d/:])(?<!\d[.,e])(?<!\de[+-])(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?(?:k\b)?)"
    r"(?!\d|[.,]\d|[/:]\d|e[+-]?\d)"
)
LEAST = (
    r"(?:at least|no less than|not less than|not below|not under|over|above|from|more than|more quick"
    r" than|more fast"
    r" than|upwards of|minimum(?:"
    r" of)?|min\.?|(?:no|not) (?:slower|fewer|cheaper|lighter|smaller|less expensive) than|north of"
    r"|(?:faster|quicker|longer|taller|wider|deeper|newer|higher|heavier|bigger|larger|dearer|pricier"
    r"|more expensive) than|exceed(?:s|ing)?|beyond|>=?)"
)
MOST = (
    r"(?:at most|no more than|not more than|not above|not over|under|below|up to|less than|less quick"
    r" than|less fast than|maximum(?: of)?|max\.?"
    r"|(?:no|not) (?:faster|quicker|longer|higher|heavier|bigger|larger|dearer|pricier|more expensive) than"
    r"|(?:slower|cheaper|fewer|shorter|lower|lighter|smaller|less expensive) than"
    r"|within|(?:\w+n'?t|not|never) exceed(?:ing)?|south of|<=?)"
)
_HURRIED = re.compile(r"\b(?:fast|quick|slow)(?:er)? than\b", re.IGNORECASE)
ABOUT = r"(?:around|about|roughly|approximately|approx\.?|circa|somewhere around|near|close to|~|-?ish)"
LATER, SOONER = (
    r"(?:after|since|later than|newer than|not before)",
    r"(?:before|until|earlier than|older than|not after|pre-?)",
)
BARE = rf"\b(?:between|from|for) {NUMBER} ?(?:and|to|-) ?{NUMBER}(?![\w/'])"
SPREAD = r" ?(?:±|\+ ?/? ?-|plus or minus|plus/minus|give or take) ?"
FREE = rf"(?<![\w$€£]){NUMBER}{SPREAD}{NUMBER}(%?)(?![\w/'])"
CORRECTED = re.compile(rf"\bno, ?(?!not\b)|{CORRECTION.pattern}", re.IGNORECASE)
JOINED = (
    r"[ ,]*(?:(?:or|and/or|and|,)\b)?(?:(?:"
    r" |\b)(?:maybe|even|else|also|at|in|an?|the|something|ones?|from))* ?"
)
FILLER = (
    r"anything|something|music|tunes?|songs?|tracks?|films?|movies?|books?|things?|ones?|items?|that|which|is|are"
    r"|be|at|in|with|of|an?|the|it|me|to|too|going|goes?|priced|costing|from|between|around|about|or|nor|either"
    r"|under|over|above|below|than|faster|slower|cheaper|older|newer|longer|shorter|more|less|before|after"
)
_UNWILLING = re.compile(  # "I can't spend (more than 40)"
    r"(?:\bnot|n't|\bcannot|\bnever|\bunwilling|\brefuse|\bhate|\bno way)(?:"
    r" (?:i'm|i'll|i|am|will|to|want|like|need|going|willing"
    r"|prepared|able|spend|spending|pay|paying|afford|wait|waiting|go|cost|be|have|take|use|buy|anything"
    r"|ever|really|it|anywhere))* $",
    re.IGNORECASE,
)
_TOO_MUCH = re.compile(
    r"(?: \w+)?(?: is| would be|'s)(?: way| far| just| a bit)? (?:too \w+|out of)\b", re.IGNORECASE
)
_UP = r" ?(?:or more|or better|or above|or faster|or higher|and up|\+|plus|minimum|at least)"
_DOWN = r" ?(?:or less|or under|or below|or slower|or fewer|max|maximum|at most|tops)"
_SHARE = r"(?! (?:off|of|less|more|discount|cheaper|dearer|faster|slower|shorter|longer|bigger|smaller)\b)"
CURRENCIES = "$€£"
CLOSE = 0.1  # how far "around" reaches, as a share


UNITS = "|".join(
    sorted(
        {re.escape(unit) for own in english()["units"].values() for unit in own if len(unit) > 1}, key=len
    )[::-1]
)


class Numbers:
    """Reads the numbers that this vocabulary has fields for."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        tops = vocabulary.spans.values()
        numbers = [name for name in vocabulary.units if name not in tops]
        self._numbers: Mapping[str, tuple[str, ...]] = {
            name: vocabulary.units.get(name, ()) for name in numbers
        }
        words = (
            noun
            for name in vocabulary.fields
            if name not in (*numbers, *tops)
            for noun in vocabulary.nouns[name]
        )
        self._others = "|".join(f"{re.escape(noun)}s?" for noun in words) or "(?!)"
        own = [word for name in numbers for word in (*self._numbers[name], *vocabulary.nouns[name])]
        self.words = "|".join(
            re.escape(word) for word in sorted(own, key=len, reverse=True) if word.isascii()
        )
        filler = (
            rf"(?:[^\w,]|\d|,(?= ?\d)|(?<!\w)(?:{'|'.join(filter(None, (FILLER, self.words)))})(?![a-z]))*$"
        )
        before = NEGATION.pattern.removesuffix(r"\b[^.;:!?]*$")
        self._refusal = re.compile(rf"{before}\b{filler}", re.IGNORECASE)

    def listed(self, text: str) -> str:
        """ "90, 100 or 110 bpm" with the unit at each, "size 41 or 42" with the noun, "five doors" as 5."""
        small = rf"\b({'|'.join(DIGITS[1:])})(?=[ -](?:{self.words or '(?!)'})\b)"
        text = re.sub(small, lambda hit: str(DIGITS.index(hit[1].lower())), text, flags=re.IGNORECASE)
        nouns = "|".join(re.escape(noun) for name in self._numbers for noun in self.vocabulary.nouns[name])
        text = re.sub(
            rf"\b({nouns or '(?!)'})s? {NUMBER}((?:, {NUMBER})*,? or {NUMBER})"
            rf"(?! ?[a-z]*(?:er|{UNITS}|years?)\b)",
            lambda hit: f"{hit[1]} {hit[2]}" + re.sub(NUMBER, lambda more: f"{hit[1]} {more[1]}", hit[3]),
            text,
            flags=re.IGNORECASE,
        )
        units = "|".join(re.escape(unit) for own in self._numbers.values() for unit in own if unit.isalpha())
        bound = rf"(?:(?:{LEAST}|{MOST}|{ABOUT}|between) )?{NUMBER}(?: ?(?:-|to|and) ?{NUMBER})?"
        more = rf"(?=(?:, ?{bound}){{0,8}},? n?or {bound}[ -]?({units})(?!\w))"
        return (
            re.sub(rf"{NUMBER}{more}", lambda hit: f"{hit[1]} {hit[hit.re.groups]}", text, flags=re.I)
            if units
            else text
        )

    def _refused(self, text: Text, at: int) -> bool:
        """Whether what is said right before a number refuses it: "nothing over", "not between"."""
        before = text.whole[max(0, at - REACH) : at]
        if _UNWILLING.search(before):
            return True
        return text.negated(at) and bool(self._refusal.search(before) or re.search(r"\w n?or $", before))

    def _add(
        self, text: Text, hit: re.Match[str], clause: Clause, group: int = 0, near: bool = False
    ) -> None:
        """Keep a bound; group: where its words begin, before which it is refused. near: it is one number."""
        kind: Strength = "must"
        if dated(self.vocabulary.fields[clause.field]) and min(ends_of(clause), key=abs) < 1000:
            text.leave(hit)  # "for my 5 year old"
            return
        if tail := _TOO_MUCH.match(text.whole, hit.end()):  # "more than 40 is too much"
            text.take(*tail.span())
        if tail or self._refused(text, hit.start(group)):
            text.refused[hit.start()] = clause
            other = {"ge": "le", "le": "ge"}.get(clause.cmp)
            kind, clause = ("must", replace(clause, cmp=other)) if other else ("must_not", clause)
        for each in self._spanned(clause, near) if kind == "must" else [clause]:
            text.add(hit.start(), Change("add", kind, each))

    def _spanned(self, clause: Clause, near: bool) -> list[Clause]:
        """A bound of what has two ends (salary_min, salary_max): all of the span keeps it, or holds a number
        that it is `near`.
        """
        top = self.vocabulary.spans.get(clause.field)
        if top is None:
            return [clause]
        low, high = ends_of(clause)
        if near:
            return [Clause(clause.field, "le", high), Clause(top, "ge", low)]
        above = [] if clause.cmp == "le" else [Clause(clause.field, "ge", low)]
        return above + ([] if clause.cmp == "ge" else [Clause(top, "le", high)])

    def read(self, text: Text) -> None:
        """Bounds that carry a unit or a noun, or that only one number field could hold."""
        for name, units in self._numbers.items():
            nouns = "|".join(re.escape(noun) for noun in self.vocabulary.nouns[name])
            unit = "|".join(re.escape(word) for word in sorted(units, key=len, reverse=True))
            signs = "".join(re.escape(word) for word in units if word in CURRENCIES)
            after = rf"[ -]?(?:{unit})(?!\w)" if unit else r"(?!)"
            after += _SHARE if "%" in units else ""
            money = rf"[{signs}] ?" if signs else r"(?!)"
            noun = (
                rf"(?<![\d .,]\d )(?<![\d .,]\d)\b(?:{nouns})(?: not| isn't)?"
                r"(?: of| is| should be| around| between|:)? ?"
            )
            for before, behind in ((noun, f"(?:{after})?"), ("", after), ("", f"(?= (?:{nouns}))")):
                self._bounds(text, name, before, behind, "")
            if signs:
                self._bounds(text, name, "", "", money)
                for hit in text.each(
                    rf"\b(?:(?:i|we)(?: only|'ve)*(?: have| got)+ )?{NUMBER} to spend\b"
                    rf"|\b(?:i|we) only (?:have|got) {NUMBER}(?=\W*$)"
                ):
                    self._add(text, hit, Clause(name, "le", figure(hit[1] or hit[2])))
            self._fits(text, name)
            self._bare(text, name)

    def _way(self, name: str, phrase: str, cmp: str) -> str:
        """A comparison as it is meant of a field: what is quicker than 20 minutes takes less."""
        timed = _HURRIED.search(phrase) and SECONDS.keys() & set(self._numbers[name])
        return {"ge": "le", "le": "ge"}.get(cmp, cmp) if timed else cmp

    def _whole(self, known: Field) -> bool:
        """Whether a field holds whole numbers without a unit, or counts people: sizes, rooms, servings."""
        ends, units = (known.low, known.high, *known.quarters), self._numbers[known.name]
        return bool(not units or {"people", "star"} & set(units)) and all(
            float(end).is_integer() for end in ends
        )

    def _bounds(self, text: Text, name: str, before: str, behind: str, sign: str) -> None:
        first, second = f"{sign}{NUMBER}", f"(?:{sign})?{NUMBER}"
        unit = f"(?:{behind})?" if sign or before or "?=" not in behind else ""
        loose = r"(?:(?!\b(?:or|and)\b)[^.;!?\d]){0,12}?" if before else ""

        def value(hit: re.Match[str], group: int) -> float:
            return round(figure(hit[group]) * factor(self.vocabulary.own(name), hit.group()), 6)

        for left, right in ((first, second), (second, first)):
            for hit in text.each(rf"{before}{left}{unit}{SPREAD}{right}(%?){behind}") + (
                text.each(rf"{before}{left}{behind}{SPREAD}{right}(%?)")
            ):
                self._add(
                    text, hit, Clause(name, "between", _spread(value(hit, 1), value(hit, 2), hit[3])), 1
                )
            for hit in text.each(
                rf"{before}(?:between |from ){left}{unit} ?(?:and|to|-) ?{right}{behind}"
            ) + text.each(rf"{before}{left}(?: ?and ?|{unit} ?(?:to|-) ?){right}{behind}"):
                low, high = sorted((value(hit, 1), value(hit, 2)))
                self._add(text, hit, Clause(name, "between", (low, high)), 1)
        takes = SECONDS.keys() & set(self._numbers[name])  # "ready in 20 minutes"
        for words, cmp in (
            (LEAST, "ge"),
            (MOST, "le"),
            *(
                [(r"in|(?:i|we)(?: only|'ve)?(?: have| haven't| don't have| got)+(?: only| just)?", "le")]
                if takes and not before
                else ()
            ),
        ):
            for hit in text.each(rf"{before}{loose}(?<!no )(?<!not )({words}) ?{first}{behind}"):
                self._add(text, hit, Clause(name, self._way(name, hit[1], cmp), value(hit, 2)), 1)
        for tail, cmp in (
            (_UP, "ge"),
            (_DOWN, "le"),
        ):
            for hit in text.each(rf"{before}{first}{behind}{tail}(?! ?[$€£]?\d)"):
                self._add(text, hit, Clause(name, cmp, value(hit, 1)), 1)
        for hit in text.each(rf"{before}{loose}({ABOUT} ?)?{first}(?:-?ish)?{behind}(?: or so)?"):
            middle = value(hit, 2)
            span = text.whole[max(0, hit.start() - 12) : hit.end()]
            exact = "exactly" in span.lower()
            reach, known = 0.0 if exact else CLOSE * middle, self.vocabulary.fields[name]
            nearly = hit[1] or re.search(rf"\d-?ish\b|\bor so\b|\b{ABOUT} \w+ [\d.]+$", span, re.IGNORECASE)
            if dated(known) and not exact:
                reach = 5.0 if hit[1] else 0.0
            elif self._whole(known):
                reach = 1.0 if nearly and not exact else 0.0  # "size 39" is no other
            if "star" in self._numbers[name] and not (nearly or exact or reach == 0 or "." in hit[2]):
                self._add(text, hit, Clause(name, "between", (middle, middle + 0.99)), 2)  # "rated 4"
                continue
            budget = not hit[1] and re.match("budget", hit.group(), re.IGNORECASE)
            clause = Clause(name, "le", middle) if budget else Clause(name, "between", _spread(middle, reach))
            self._add(text, hit, clause, 2, near=True)

    def _known(self, word: str) -> bool:
        """Whether a word is one of a value here, or of any message."""
        return word.lower() in chat() | stop_words() or any(
            surface.pattern.fullmatch(word) for surface in self.vocabulary.surfaces
        )

    def _fits(self, text: Text, name: str) -> None:
        """ "In 42", "she takes a 38" of a size; "for 6" of people."""
        known, before = self.vocabulary.fields[name], ""
        if "size" in self.vocabulary.nouns[name]:
            before = r"in(?: an?)?|(?:takes?|wears?|needs?|am|'m) an?"
        elif "people" in self._numbers[name]:
            before = "(?:enough )?for|feeds"
        for hit in text.each(
            rf"\b(?:{before or '(?!)'}) {NUMBER}(?![\w/'%]| ?(?:{UNITS}|(?:to|and|-) ?\d|[a-z]+s)\b)"
        ):
            if known.low <= (value := figure(hit[1])) <= known.high:
                self._add(text, hit, Clause(name, "between", (value, value)))
            else:
                text.leave(hit)

    def _bare(self, text: Text, name: str) -> None:
        """ "Faster than 120", "under 50": a number only this field can hold, for its range and words."""
        known = self.vocabulary.fields[name]
        stems = re.split(r"[^a-z]+", self.vocabulary.own(name).casefold())
        table = english()["comparatives"]
        ups = [word for word, (way, own) in table.items() if way == "up" and set(own) & set(stems)]
        downs = [word for word, (way, own) in table.items() if way == "down" and set(own) & set(stems)]
        for compared, cmp in ((ups, "ge"), (downs, "le")):
            if compared:
                flip = {"ge": "le", "le": "ge"}[cmp]
                comparatives = "|".join(map(re.escape, compared))
                for hit in text.each(rf"\b(no |not )?(?:{comparatives}) than {NUMBER}\b(?!\w)"):
                    self._add(text, hit, Clause(name, flip if hit[1] else cmp, figure(hit[2])))
        if len(self._numbers) == 1:
            forms = (
                (LEAST, "ge"),
                (MOST, "le"),
                (LATER, "ge"),
                (SOONER, "le"),
                (ABOUT, "between"),
                ("exactly", "between"),
                ("at", "between"),
            )
            for words, cmp in forms:
                after = rf"(?![\w/'%]| ?(?:to|and|-) ?\d| ?(?:{UNITS}|years?|{self._others})\b)"
                for hit in text.each(rf"(?<!no )(?<!not )(?<!\w){words} ?{NUMBER}{after}"):
                    value, wide = figure(hit[1]), 1 if dated(known) else 100
                    low = known.low / 2 / (wide if cmp == "ge" else 1)
                    if low <= value <= known.high * 2 * (wide if cmp == "le" else 1):
                        exact = words == "exactly" or (dated(known) and words == "at")
                        near = 0.0 if exact else 5.0 if dated(known) else CLOSE * value
                        bound = _spread(value, near) if cmp == "between" else value
                        self._add(text, hit, Clause(name, self._way(name, hit.group(), cmp), bound))
                    else:
                        text.leave(hit)
            for tail, cmp in ((_UP, "ge"), (_DOWN, "le")):
                for hit in text.each(rf"(?<![\w$€£.,]){NUMBER}{tail}(?! ?[$€£]?\d)"):
                    self._add(text, hit, Clause(name, cmp, figure(hit[1])))

    def strange(self, text: Text) -> str:
        """What is said of a number in a unit that no field here has: "under 2000 dollars"."""
        pattern = (
            rf"(?:\b(?:{LEAST}|{MOST}|{ABOUT}|between|for|at) )?(?:[$€£] ?{NUMBER}|{NUMBER} ?(?:{UNITS})\b)"
        )
        hits = text.each(pattern)
        return f"Nothing is known here by which ‘{hits[0].group().strip()}’ could be told." if hits else ""

    def ranges(self, text: Text) -> None:
        """ "Between 90 and 95", "under 100 or over 140"."""
        self._unnamed(text)
        self.alternatives(text)

    def _unnamed(self, text: Text) -> None:
        """ "Between 90 and 95": of the only number field whose values hold both, or that there is."""
        alone = rf"(?<![\w$€£.,/:-]){NUMBER} ?(?:to|-) ?{NUMBER}(?![\w/'%:]|[ -]?(?:{UNITS}|years?)\b)"
        for hit in [m for form in (BARE, FREE, alone) for m in re.finditer(form, text.text, re.IGNORECASE)]:
            low, high = sorted(figure(part) for part in hit.groups()[:2])
            if hit.re.groups == 3:
                low, high = _spread(figure(hit[1]), figure(hit[2]), hit[3])
            known = [self.vocabulary.fields[name] for name in self._numbers]
            around = [field for field in known if field.low <= low and high <= field.high]
            if not around and len(known) == 1:
                around = [field for field in known if field.low / 2 <= low and high <= field.high * 2]
            if len(around) == 1:
                text.take(hit.start(), hit.end())
                self._add(text, hit, Clause(around[0].name, "between", (low, high)))
        after = rf"(?![\w/'%]| ?(?:to|and|-) ?\d| ?(?:{UNITS}|years?|{self._others})\b)"
        for form, cmp in (
            *(
                (rf"(?<!no )(?<!not )(?<!\w){words} ?{NUMBER}{after}", cmp)
                for words, cmp in ((LEAST, "ge"), (MOST, "le"), (rf"(?:at|{ABOUT})", "between"))
            ),
            *((rf"(?<![\w$€£.,]){NUMBER}{tail}{after}", cmp) for tail, cmp in ((_UP, "ge"), (_DOWN, "le"))),
        ):  # "under 400", "400 or less": of the only field that has such numbers, or of the price
            for hit in list(re.finditer(form, text.text, re.IGNORECASE)):
                known = [self.vocabulary.fields[name] for name in self._numbers]
                value = figure(hit[1])
                around = [field for field in known if field.low <= value <= field.high]
                if not around and re.match(r" ?(?:please|$|[,.;!?])", text.text[hit.end() :]):
                    far = [f for f in known if f.low / 9 <= value <= f.high * 9]  # "a dress under 5"
                    around = [field for field in far if "$" in self._numbers[field.name]]
                around = [field for field in around if not dated(field)] if cmp == "between" else around
                prices = [field for field in around if "$" in self._numbers[field.name]]
                around = prices if len(prices) == 1 or cmp == "between" else around
                counted = re.match(r" (\w{3,}s)\b", text.text[hit.end() :])  # "5 ingredients"
                others = around and counted and not self._known(counted[1])
                if len(around) == 1 and not others:
                    text.take(hit.start(), hit.end())
                    name, bound = around[0].name, _spread(value, CLOSE * value) if cmp == "between" else value
                    self._add(text, hit, Clause(name, self._way(name, hit.group(), cmp), bound))

    def alternatives(self, text: Text) -> None:
        """ "Under 100 or over 140", "90, 100 or 110 bpm": one wish for any of them, where they were joined by
        "or" or nothing is all of them at once.
        """
        entries: list[tuple[int, Change]] = []
        for at, change in sorted(text.changes, key=lambda entry: entry[0]):
            if entries and CORRECTED.search(text.whole[entries[-1][0] : at]):  # "90 bpm, no, 110 bpm"
                same = change.op == "add" and entries[-1][1].clause.field == change.clause.field
                entries = entries[:-1] if same and spanning(change.clause) else entries
            entries.append((at, change))
        text.changes = entries
        ends = {at: at + len(re.match("\x00*", text.text[at:])[0]) for at, _ in entries}  # type: ignore[index]
        runs: list[list[tuple[int, Change]]] = []
        names = [change.clause.field for _, change in entries]
        for at, change in entries:
            last = runs[-1][-1] if runs else None
            between = text.whole[ends[last[0]] : at] if last else ""
            alike = (
                last
                and (last[1].op, last[1].kind) == (change.op, change.kind)
                and change.op != "drop"
                and change.kind != "must_not"
                and (
                    last[1].clause.field == change.clause.field
                    or (len(set(names)) == len(names) and re.search(r"\bor\b", between, re.IGNORECASE))
                )
            )
            joint = rf"(?: ?(?:{self.words or '(?!)'})\b)?{JOINED}"  # "4 stars or 5 stars"
            near = between.strip() and re.fullmatch(joint, between, re.I) and not self._refused(text, at)
            if alike and near:
                runs[-1].append((at, change))
            else:
                runs.append([(at, change)])
        for run in runs:
            joins = [text.whole[ends[a[0]] : b[0]] for a, b in pairwise(run)]
            clauses = [change.clause for _, change in run]
            spans = [ends_of(clause) for clause in clauses if spanning(clause)]
            same_field = len({clause.field for clause in clauses}) == 1
            apart = same_field and spans and max(low for low, _ in spans) > min(high for _, high in spans)
            if len(run) < 2 or not (apart or any(re.search(r"\bor\b", join, re.I) for join in joins)):
                continue
            at, change = run[0]
            if len(spans) == len(run):
                value = tuple(dict.fromkeys(f"{clause.field}={spanned(clause)}" for clause in clauses))
                change = replace(change, clause=Clause(change.clause.field, "either", value))
            elif same_field and not spans and all(clause.cmp in ("eq", "in") for clause in clauses):
                words = [w for c in clauses for w in (c.value if isinstance(c.value, tuple) else (c.value,))]
                change = replace(
                    change, clause=among(change.clause.field, tuple(map(str, dict.fromkeys(words)))).clause
                )
            else:
                continue
            text.take(at, ends[run[-1][0]])
            text.changes = [entry for entry in text.changes if entry not in run] + [(at, change)]


def dated(known: Field) -> bool:
    """Whether a field holds years."""
    return known.kind == "number" and 1000 <= known.low <= known.high <= 2200


def among(name: str, values: Sequence[str], cmp: str = "eq") -> Change:
    if len(values) == 1:
        return Change("add", "must", Clause(name, cmp, values[0]))
    return Change("add", "must", Clause(name, "in", tuple(values)))


def figure(text: str) -> float:
    """ "1,000", "2.5" or "2,5", "2k"."""
    if re.match(r"\d{1,3}(?:,\d{3})+(?!\d)", text):
        return float(text.replace(",", ""))
    return float(text.lower().rstrip("k").replace(",", ".")) * (1000 if text[-1:] in "kK" else 1)


def _spread(middle: float, reach: float, share: str = "") -> tuple[float, float]:
    reach = middle * reach / 100 if share else reach
    return round(middle - reach, 3), round(middle + reach, 3)
