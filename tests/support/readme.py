"""The README with its blocks of code, and all that is public."""

import re
import types

import jaxgmm
from support.paths import ROOT

README = (ROOT / "README.md").read_text()
PUBLIC = {
    name: getattr(jaxgmm, name)
    for name in dir(jaxgmm)
    if name[0] != "_" and not isinstance(getattr(jaxgmm, name), types.ModuleType)
}
PUBLIC |= {f"plot.{name}": value for name, value in vars(jaxgmm.plot).items() if name[0] != "_"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
