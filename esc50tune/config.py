"""Every knob of a trial, with its default, range, unit and source. Methods declare their own beside their code."""

from __future__ import annotations

from typing import Any, Literal, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator, model_validator

from esc50tune.errors import UserError, nearest
from esc50tune.features import FEATURES
from esc50tune.knobs import Search, knob, shown
from esc50tune.models import MODELS
from esc50tune.regularizers import REGULARIZERS


class TrainingKnobs(BaseModel):
    """The knobs that belong to no single method."""

    model: str = knob("convnext", "architecture", source="seed: all three", choices=MODELS)
    feature: str = knob(
        "logmel",
        "what the model sees of a clip",
        source="raw and encodec: seed; log-mel: most of the literature",
        choices=FEATURES,
    )
    sample_rate: int = knob(
        44_100, "rate that clips are resampled to", unit="Hz", source="ESC-50's own", ge=1_000, le=192_000
    )
    clip_seconds: float = knob(
        5.0,
        "length that clips are padded or cut to; sweeps take the data's usual one",
        unit="s",
        source="ESC-50's own",
        ge=0.05,
        le=60.0,
    )
    epochs: int = knob(
        100, "length of the full schedule", unit="epochs", source="published recipes: 100 to 3500", ge=1, le=100_000
    )
    batch_size: int = knob(
        16, "clips a step", unit="clips", source="16 on raw audio, 64 on EnCodec: seed", ge=1, le=4096
    )
    batch_parts: int = knob(
        1,
        "parts in which a batch is computed, one after the other: less memory, the same step, but for "
        "statistics pooling, which norms each part by itself",
        source="2 where a trial ran out of memory",
        ge=1,
        le=4096,
    )
    lr: float = knob(
        1e-3,
        "AdamW's highest learning rate",
        source="seed 1e-4, EAT-S 3e-4, ConvNeXt 4e-3 at batch 4096; default and range between them: our choice",
        search=Search(2e-4, 5e-3, log=True),
        gt=0.0,
        le=1.0,
    )
    schedule: Literal["constant", "cosine"] = knob(
        "cosine", "learning rate after the warm-up", source="ConvNeXt; seed constant"
    )
    warmup_epochs: float = knob(
        0.0, "linear rise of the learning rate", unit="epochs", source="ConvNeXt: 20 of 300", ge=0.0
    )
    clip_grad: float = knob(0.0, "largest gradient norm; 0 clips nothing", source="EAT-S 1", ge=0.0)
    precision: Literal["auto", "fp32", "bf16"] = knob(
        "auto", "autocast type; auto is bf16 on CUDA, else fp32", source="seed fp32"
    )
    seed: int = knob(
        0,
        "seed of weights, order of data, and every random draw",
        source="follows from --seed",
        ge=0,
        lt=2**63,
    )


METHODS = [*MODELS.values(), *FEATURES.values(), *REGULARIZERS]


class TrialConfig(TrainingKnobs, *(method.Knobs for method in METHODS)):
    """A trial's full configuration: flat, checked, immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def one_of_its_choices(cls, value: Any, info: ValidationInfo) -> Any:
        choices = cls.model_fields[info.field_name].json_schema_extra["choices"]
        if choices and value not in choices:
            raise ValueError(f"it must be one of {', '.join(map(shown, choices))}")
        return value

    @model_validator(mode="after")
    def fits_together(self) -> TrialConfig:
        for method in (MODELS[self.model], FEATURES[self.feature], *REGULARIZERS):
            method.check(self)
        if not FEATURES[self.feature].from_waves:
            for knob_name in (name for method in REGULARIZERS for name in method.wave_knobs if getattr(self, name)):
                what = f"{knob_name} ({getattr(self, knob_name):g})"
                raise ValueError(f"{what} changes waveforms, which feature '{self.feature}' has left behind")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) must be below epochs ({self.epochs})")
        return self

    @classmethod
    def from_flat(cls, flat: dict[str, Any]) -> TrialConfig:
        """Make a config from knob names and values.

        Raises:
            UserError: a knob is unknown, or a value has the wrong type or is out of its range.
        """
        for name in flat:
            if name not in cls.model_fields:
                raise UserError(f"no knob is called '{name}'{nearest(name, cls.model_fields)}")
        try:
            return cls(**flat)
        except ValidationError as error:
            first = error.errors()[0]
            where = f"{first['loc'][0]} = {first['input']!r}: " if first["loc"] else ""
            raise UserError(where + first["msg"].removeprefix("Value error, ")) from None

    def to_flat(self) -> dict[str, Any]:
        """Return all knobs as JSON-ready names and values."""
        return self.model_dump(mode="json")


def parse_setting(text: str) -> tuple[str, Any]:
    """Read one `key=value` of the command line.

    Raises:
        UserError: there is no '=', or no knob has that name. The value itself is checked by `TrialConfig`.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--set takes key=value, not '{text}'")
    if name not in TrialConfig.model_fields:
        raise UserError(f"no knob is called '{name}'{nearest(name, TrialConfig.model_fields)}")
    is_list = get_origin(TrialConfig.model_fields[name].annotation) is tuple
    return name, [item.strip() for item in value.split(",")] if is_list else value
