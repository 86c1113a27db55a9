"""What the words of a report mean, in a sentence or two each."""

TERMS: dict[str, str] = {
    "R@k (recall)": (
        "Share of users whose held-out item is among the first k recommended. With one held-out item a user"
        " it is also the hit rate."
    ),
    "N@k (NDCG)": (
        "Like recall, but a hit counts 1 / log2(1 + rank): 1 at the top, .63 second, .29 tenth, 0 after k."
    ),
    "Full ranking": (
        "The held-out item competes with every item of the catalogue that is allowed, not with a sample."
    ),
    "95 % interval": (
        "Users are drawn again with replacement 1,000 times; the interval spans the middle 95 % of the means."
        " It says how much rests on who these users happen to be, not on the seed of a training run."
    ),
    "Paired difference": (
        "The mean over users of this method minus the baseline, both on the same user. Colour marks an "
        "interval that leaves out 0."
    ),
    "Leave-one-out": (
        "Each user's last event is the test target, the one before it the validation target; the rest trains."
    ),
    "Split in time": (
        "Everything before one moment trains and what users did after it is predicted. No model sees any "
        "user's future."
    ),
    "Semantic ID": (
        "A few codes per item, from coarse to fine, learnt from what the item is; the language model"
        " generates them."
    ),
    "Code use": (
        "Share of a level's codes that at least one item has; unused (dead) codes waste the address space."
    ),
    "Uniqueness": (
        "Distinct Semantic IDs over items, or the share of items that share theirs with no other; both are"
        " given."
    ),
    "Effective vocabulary": (
        "The fewest items that together fill 95 % of the recommended slots: how much of the catalogue "
        "people get to see."
    ),
    "Alarm": (
        "A cheap check that catches a broken recommender whose averages look plausible, for example one that"
        " shows everyone the same list."
    ),
}
