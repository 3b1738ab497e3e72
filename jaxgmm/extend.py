"""Names for authors of divergences and rules, such as annotations that `validated_jit` checks."""

from jaxgmm._mixture.validation import Mixture as Mixture
from jaxgmm._mixture.validation import Mixtures as Mixtures
from jaxgmm._mixture.validation import one_space as one_space
from jaxgmm._quadrature.rule import Batch as Batch
from jaxgmm._quadrature.rule import Batches as Batches
from jaxgmm._quadrature.rule import Rule as Rule
from jaxgmm._quadrature.rule import RuleArg as RuleArg
from jaxgmm._validation.arguments import Devices as Devices
from jaxgmm._validation.arguments import Flag as Flag
from jaxgmm._validation.arguments import Key as Key
from jaxgmm._validation.arguments import PositiveInt as PositiveInt
from jaxgmm._validation.arguments import PositiveNumber as PositiveNumber
from jaxgmm._validation.arguments import StaticPositiveNumber as StaticPositiveNumber
from jaxgmm._validation.validated_jit import Check as Check
from jaxgmm._validation.validated_jit import validated as validated
from jaxgmm._validation.validated_jit import validated_jit as validated_jit
