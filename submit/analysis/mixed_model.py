"""A sensitivity analysis: all exams of all arms in one mixed model, on a scale without ends."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, Series
from scipy import special
from statsmodels.genmod.cov_struct import Exchangeable
from statsmodels.genmod.generalized_estimating_equations import GEE
from statsmodels.regression.mixed_linear_model import MixedLM

from job.contract.grid import REFERENCE
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
    low: float
    """Of the 95 % interval; so is `high`."""
    high: float
    p: float


@dataclass(frozen=True, kw_only=True)
class Model:
    """The first of the models that could be fitted."""

    name: str | None
    """None: none could be."""
    scale: str
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

    Args:
        tests: What `pairing.by_arm` gives.
        metric: Dice is put on the logit scale, shrunk from 0 and 1 by (y (N - 1) + 0.5) / N (Smithson & Verkuilen,
            Psychol. Methods 11 (2006) 54-71); distances and volumes as log(1 + x).
    """
    transform, scale = (_logit, "log odds") if metric == "dice" else (np.log1p, "log(1 + x)")
    by_exam = DataFrame(transform(tests)).groupby(level=EXAM).mean()
    rows = by_exam.melt(ignore_index=False, value_name="value").dropna().reset_index()
    arms = [arm for arm in rows["arm"].unique() if arm != REFERENCE]
    patients = rows["patient"].nunique()
    if not arms or len(arms) == rows["arm"].nunique() or patients < 3:
        return None
    preferred = EXAMS_WITHIN_PATIENTS if len(rows.drop_duplicates(EXAM)) > patients else PATIENTS
    not_fitted: dict[str, str] = {}
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
            return Model(name=name, scale=scale, contrasts=contrasts, not_fitted=not_fitted)
    return Model(name=None, scale=scale, contrasts=(), not_fitted=not_fitted)


def _logit(dice: DataFrame) -> DataFrame:
    count = int(dice.count().sum())
    return DataFrame(special.logit((dice * (count - 1) + 0.5) / count))


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
        return tuple(_contrast(fitted, arm) for arm in arms)


def _require_spread(fitted: Any) -> None:
    """Refuses a fit at the edge of its parameter space, where intervals mean nothing.

    Raises:
        NotFittedError: A variance is 0.
    """
    within = zip(fitted.model.exog_vc.names, fitted.vcomp, strict=True)
    for what, variance in (("patient", float(np.ravel(fitted.cov_re)[0])), *within):
        if not variance > EDGE * fitted.scale:
            raise NotFittedError(f"no more than chance between one {what} and another (a variance of 0)")


def _contrast(fitted: Any, arm: str) -> Contrast:
    name = f"C(arm, Treatment('{REFERENCE}'))[T.{arm}]"
    bounds: NDArray[np.float64] = fitted.conf_int().loc[name].to_numpy()
    estimates: Series = fitted.params
    values = (estimates[name], *bounds, fitted.pvalues[name])
    if not np.isfinite(values).all():
        raise NotFittedError("the estimates are not finite")
    estimate, low, high, p = map(float, values)
    return Contrast(arm=arm, estimate=estimate, low=low, high=high, p=p)
