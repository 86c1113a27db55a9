"""Agreement of the survey part with R (lavaan, psych, survey, MASS) and statsmodels on the same numbers, in
one command.

    apt-get install r-base-core r-cran-lavaan r-cran-psych r-cran-survey   # MASS comes with R
    python -m benchmarks.retention.agreement

Printed: the largest difference of each quantity. Without R the comparisons with it are left out, by name.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as csv
from recipes.common import command, options

from tastemaker.retention.proxy.model import fit_ordinal
from tastemaker.retention.threshold import above, precision_bound
from tastemaker.retention.validity.claim import alpha
from tastemaker.retention.validity.factor.cfa import fit_cfa
from tastemaker.retention.validity.factor.ordinal import fit_ordinal_cfa, polychoric_moments
from tastemaker.retention.weights.aipw import answered_mean
from tastemaker.retention.weights.claim import rake, raked_mean

Floats = npt.NDArray[np.float64]
BLOCKS = {"a": [0, 1, 2], "b": [3, 4, 5], "c": [6, 7, 8]}
MEASURES = ("chi2", "df", "baseline_chi2", "cfi", "tli", "rmsea", "rmsea_low", "rmsea_high", "srmr")
R = """
suppressMessages({library(lavaan); library(psych); library(survey); library(MASS)})
out <- list(); say <- function(name, x) out[[name]] <<- as.numeric(x)
m <- "a =~ x1+x2+x3\\nb =~ x4+x5+x6\\nc =~ x7+x8+x9"
hs <- HolzingerSwineford1939[, paste0("x", 1:9)]; write.csv(hs, "hs.csv", row.names=FALSE)
f <- cfa(m, hs, std.lv=TRUE)
say("ml fit", fitMeasures(f, c("chisq","df","baseline.chisq","cfi","tli","rmsea","rmsea.ci.lower","rmsea.ci.upper","srmr")))
say("ml loadings", rowSums(inspect(f, "std")$lambda)); p <- inspect(f, "std")$psi; say("ml phi", p[lower.tri(p)])
say("alpha", psych::alpha(hs[,1:3])$total$raw_alpha)
bfi <- na.omit(psych::bfi[, c("A2","A3","A5","C1","C2","C3","E3","E4","E5")]); names(bfi) <- paste0("x", 1:9)
write.csv(bfi, "bfi.csv", row.names=FALSE)
g <- cfa(m, bfi, ordered=names(bfi), std.lv=TRUE, estimator="WLSMV")
say("wlsmv fit", fitMeasures(g, c("chisq.scaled","df.scaled","baseline.chisq.scaled","cfi.scaled","tli.scaled",
  "rmsea.scaled","rmsea.ci.lower.scaled","rmsea.ci.upper.scaled","srmr")))
say("wlsmv loadings", rowSums(inspect(g, "std")$lambda)); p <- inspect(g, "std")$psi; say("wlsmv phi", p[lower.tri(p)])
r <- psych::polychoric(bfi, correct=0)$rho; say("polychoric", r[lower.tri(r)])
s <- read.csv("survey.csv"); a <- s[!is.na(s$answer),]
d <- svydesign(ids=~user_id, weights=~w, data=a)
v <- svymean(~answer, d); say("mean", coef(v))
k <- rake(d, list(~country, ~age), list(data.frame(country=c("de","fr"), Freq=c(.6,.4)*sum(a$w)),
  data.frame(age=c("old","young"), Freq=c(.3,.7)*sum(a$w))), control=list(maxit=500, epsilon=1e-12))
say("raked weights", weights(k)); v <- svymean(~answer, k); say("raked mean", coef(v)); say("raked se", SE(v))
a$hit <- as.numeric(a$answer >= 4); d <- svydesign(ids=~user_id, weights=~w, data=a)
b <- svyciprop(~hit, d, method="beta", level=.9); say("clustered bounds", attr(b, "ci"))
o <- polr(factor(answer) ~ x1 + x2, data=a, method="logistic", control=list(reltol=1e-14, maxit=1000))
say("polr slopes", coef(o)); say("polr cuts", o$zeta)
for (n in names(out)) cat(paste(c(n, format(out[[n]], digits=15, trim=TRUE)), collapse=","), "\\n", sep="")
"""


def main() -> None:
    """Draw, run R where it is, compare, print."""
    options(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shown = drawn()
        csv.write_csv(shown, folder / "survey.csv")
        against_statsmodels(shown)
        if shutil.which("Rscript") is None:
            print("R is not here: lavaan, psych, survey and MASS are left out")
            return
        done = subprocess.run(["Rscript", "-e", R], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"R ended with: {done.stderr.strip().splitlines()[-1]}")
            return
        lines = [line.split(",") for line in done.stdout.splitlines() if "," in line]
        theirs = {name: np.array(values, float) for name, *values in lines}
        for name, values in ours(folder, shown).items():
            gap = float(np.abs(np.asarray(values) - theirs[name]).max())
            print(f"{name:18} largest difference {gap:.1e} (of {np.abs(theirs[name]).max():.4g})")


def drawn() -> pa.Table:
    """300 people asked up to four times, with weights, margins and two features."""
    rng = np.random.default_rng(11)
    people, n = 300, 900
    user = rng.integers(0, people, n)
    x = rng.normal(size=(n, 2)).round(6)
    liking = x @ [0.8, -0.4] + rng.normal(size=people)[user] + rng.logistic(size=n)
    answer = 1 + np.searchsorted([-1.5, -0.5, 0.4, 1.6], liking)
    return pa.table(
        {
            "user_id": [f"u{i}" for i in user],
            "answer": pa.array(answer, mask=rng.random(n) < 0.3),
            "w": rng.choice([2.0, 4.0, 5.0], n),
            "country": rng.choice(["de", "fr"], n),
            "age": rng.choice(["old", "young"], n),
            "x1": x[:, 0],
            "x2": x[:, 1],
        }
    )


def ours(folder: Path, shown: pa.Table) -> dict[str, npt.ArrayLike]:
    """The same quantities by this package."""
    hs, bfi = (
        np.loadtxt(folder / name, delimiter=",", skiprows=1, converters=float)
        for name in ("hs.csv", "bfi.csv")
    )
    ml = fit_cfa(np.cov(hs.T, bias=True), len(hs), BLOCKS)
    wlsmv = fit_ordinal_cfa(bfi, BLOCKS)
    asked = shown.append_column("asked_probability", pa.array(1 / shown["w"].to_numpy()))
    answers = np.nan_to_num(shown["answer"].to_numpy(zero_copy_only=False).astype(float))
    weight = np.where(answers > 0, shown["w"].to_numpy(), 0.0)
    shares = {"covariate": ["country"] * 2 + ["age"] * 2, "value": ["de", "fr", "old", "young"]}
    raked = rake(shown, weight, pa.table(shares | {"share": [0.6, 0.4, 0.3, 0.7]}))
    # The design of R knows only those who answered.
    known = asked.filter(pa.array(answers > 0))
    mean, moved = answered_mean(known), raked_mean(shown, raked)
    unit = np.unique(known["user_id"].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    hit = (known["answer"].to_numpy() >= 4).astype(float)
    at = above(np.ones(len(hit)), hit, known["w"].to_numpy(), unit, np.array([0.5]))
    ends = [
        float(precision_bound(at.precision, at.effective, at.units, 0.05, side)[0])
        for side in ("lower", "upper")
    ]
    x = np.column_stack([known["x1"].to_numpy(), known["x2"].to_numpy()])
    slopes, cuts = fit_ordinal(x, known["answer"].to_numpy(), np.ones(len(x)), 0.0)
    return {
        "ml fit": [getattr(ml.fit, name) for name in MEASURES],
        "ml loadings": ml.loadings,
        "ml phi": ml.phi[np.tril_indices(3, -1)],
        "alpha": [alpha(np.cov(hs[:, :3].T), len(hs)).value],
        "wlsmv fit": [getattr(wlsmv.fit, name) for name in MEASURES],
        "wlsmv loadings": wlsmv.loadings,
        "wlsmv phi": wlsmv.phi[np.tril_indices(3, -1)],
        "polychoric": polychoric_moments(bfi)[0],  # of the lower triangle by columns: the same order
        "mean": [mean.value],
        "raked weights": raked.weight[weight > 0],
        "raked mean": [moved.value],
        "raked se": [(moved.high - moved.low) / 2 / _t(moved.n)],
        "clustered bounds": ends,
        "polr slopes": slopes,
        "polr cuts": cuts,
    }


def _t(people: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, people - 1))


def against_statsmodels(shown: pa.Table) -> None:
    """The ordinal fit, and the clustered standard error of a mean."""
    import statsmodels.api as sm
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    answered = shown.filter(shown["answer"].is_valid())
    x, y = np.column_stack([answered["x1"], answered["x2"]]), answered["answer"].to_numpy()
    slopes, _ = fit_ordinal(x, y, np.ones(len(y)), 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = OrderedModel(y, x, distr="logit").fit(method="bfgs", disp=0, gtol=1e-8).params[:2]
    print(f"statsmodels OrderedModel slopes: largest difference {np.abs(slopes - theirs).max():.1e}")
    groups = np.unique(answered["user_id"].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    hit = (y >= 4).astype(float)
    at = above(np.ones(len(y)), hit, np.ones(len(y)), groups, np.array([0.5]))
    error = np.sqrt(at.precision * (1 - at.precision) / at.effective)[0]
    fit = sm.OLS(hit, np.ones(len(y))).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    people = int(groups.max()) + 1
    gap = abs(error - fit.bse[0] * np.sqrt(people / (people - 1)))
    print(f"statsmodels clustered standard error: difference {gap:.1e}")


if __name__ == "__main__":
    command(main)
