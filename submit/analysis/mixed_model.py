"""A sensitivity analysis: all exams of all arms in one mixed model, on a scale without ends."""

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from pandas import DataFrame
from scipy import special, stats
from statsmodels.genmod.cov_struct import Exchangeable
from statsmodels.genmod.generalized_estimating_equations import GEE
from statsmodels.regression.mixed_linear_model import MixedLM

from job.contract.grid import REFERENCE
from job.contract.metrics import METRICS
from submit.analysis.design import ALPHA
from submit.analysis.pairing import EXAM

EXAMS_WITHIN_PATIENTS = (
    "linear mixed model, random intercepts of patients, of exams within them, and of arms within them (REML)"
)
PATIENTS = "linear mixed model, random intercepts of patients (REML)"
MARGINAL = "generalised estimating equations, exchangeable within patients, bias-reduced errors"

FORMULA = f"value ~ C(arm, Treatment('{REFERENCE}'))"
EDGE = 1e-4
"""Of the residual variance: a variance below counts as 0."""
MAX_OBSERVATIONS = 5000
"""Exams x arms; a likelihood of more takes minutes, and of so many every method says the same."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """An arm against the reference on the model's scale."""

    arm: str
    estimate: float
    error: float
    """Its standard error."""
    low: float
    """Of the 95 % interval, by t with `Model.degrees_of_freedom`; so are `high` and `p`."""
    high: float
    p: float


@dataclass(frozen=True, kw_only=True)
class Model:
    """The first of the models that could be fitted."""

    name: str | None
    """None: none could be."""
    scale: str
    degrees_of_freedom: int
    """Of t: patients - 1, however many exams and arms there are."""
    contrasts: tuple[Contrast, ...]
    not_fitted: dict[str, str]
    """The models that would have been preferred, and why they are not given."""


class NotFittedError(Exception):
    """Says why."""


def mixed_model(tests: DataFrame, metric: str) -> Model | None:
    """Contrasts of every arm with the reference; None with fewer than three patients or without two arms.

    If a patient has several exams, the model has intercepts of exams and of arms within patients: without the latter
    a patient who reacts differently to an arm would count once for each visit. Otherwise it has those of patients. If
    it does not converge inside its parameter space, the marginal model (GEE) is given.

    Estimates are held against t with patients - 1 degrees of freedom, the fewest that a contrast of arms can have in
    these models. Normal quantiles would take the variances for known; the inner degrees of freedom of R's nlme count
    every visit of a patient.

    Args:
        tests: What `pairing.by_arm` gives.
        metric: A share, as Dice is, is put on the logit scale, shrunk from 0 and 1 by (y (N - 1) + 0.5) / N
            (Smithson & Verkuilen, Psychol. Methods 11 (2006) 54-71); distances and volumes as log(1 + x).
    """
    transform, scale = (_logit, "log odds") if METRICS[metric].is_share else (np.log1p, "log(1 + x)")
    by_exam = DataFrame(transform(tests)).groupby(level=EXAM).mean()
    rows = by_exam.melt(ignore_index=False, value_name="value").dropna().reset_index()
    arms = [arm for arm in rows["arm"].unique() if arm != REFERENCE]
    patients = rows["patient"].nunique()
    if not arms or len(arms) == rows["arm"].nunique() or patients < 3:
        return None
    preferred = EXAMS_WITHIN_PATIENTS if len(rows.drop_duplicates(EXAM)) > patients else PATIENTS
    not_fitted: dict[str, str] = {}
    model = partial(Model, scale=scale, degrees_of_freedom=patients - 1, not_fitted=not_fitted)
    if len(rows) > MAX_OBSERVATIONS:
        not_fitted[preferred] = f"{len(rows)} observations are more than {MAX_OBSERVATIONS}"
    for name in (preferred, MARGINAL):
        if name in not_fitted:
            continue
        try:
            contrasts = _fit(name, rows, arms)
        except NotFittedError as reason:
            not_fitted[name] = str(reason)
        else:
            return model(name=name, contrasts=contrasts)
    return model(name=None, contrasts=())


def _logit(shares: DataFrame) -> DataFrame:
    count = int(shares.count().sum())
    return DataFrame(special.logit((shares * (count - 1) + 0.5) / count))


def _fit(name: str, rows: DataFrame, arms: list[str]) -> tuple[Contrast, ...]:
    """Fits one model.

    Raises:
        NotFittedError: It does not converge, or at the edge of its parameter space.
    """
    fitted: Any
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps on the way; what counts is looked at below
        try:
            if name == MARGINAL:
                model = GEE.from_formula(FORMULA, groups="patient", data=rows, cov_struct=Exchangeable())
                fitted = model.fit(cov_type="bias_reduced")
            else:
                within = {"exam": "0 + C(exam)", "arm": "0 + C(arm)"}
                parts = {"vc_formula": within} if name == EXAMS_WITHIN_PATIENTS else {}
                model = MixedLM.from_formula(FORMULA, groups="patient", data=rows, re_formula="1", **parts)
                fitted = model.fit(reml=True, method=["lbfgs", "bfgs", "powell"])
        except (np.linalg.LinAlgError, ValueError) as error:
            raise NotFittedError(" ".join(str(error).split()).rstrip(".")) from None
        if not fitted.converged:
            raise NotFittedError("it did not converge")
        if name != MARGINAL:
            _require_spread(fitted)
        freedom = rows["patient"].nunique() - 1
        return tuple(_contrast(fitted, arm, freedom) for arm in arms)


def _require_spread(fitted: Any) -> None:
    """Refuses a fit at the edge of its parameter space, where intervals mean nothing.

    Raises:
        NotFittedError: A variance is 0.
    """
    within = zip(fitted.model.exog_vc.names, fitted.vcomp, strict=True)
    for what, variance in (("patient", float(np.ravel(fitted.cov_re)[0])), *within):
        if not variance > EDGE * fitted.scale:
            raise NotFittedError(f"no more than chance between one {what} and another (a variance of 0)")


def _contrast(fitted: Any, arm: str, freedom: int) -> Contrast:
    name = f"C(arm, Treatment('{REFERENCE}'))[T.{arm}]"
    estimate, error = float(fitted.params[name]), float(fitted.bse[name])
    if not (np.isfinite(estimate) and error > 0):
        raise NotFittedError("the estimates are not finite")
    half = float(stats.t.ppf(1 - ALPHA / 2, freedom)) * error
    return Contrast(
        arm=arm,
        estimate=estimate,
        error=error,
        low=estimate - half,
        high=estimate + half,
        p=float(2 * stats.t.sf(abs(estimate) / error, freedom)),
    )
