"""The former names of `demo.generation.profile`, for modules that still import them."""

from demo.generation.profile import SAMPLING, read_profile
from demo.generation.profile import Profile as Introduction

introduce = read_profile

__all__ = ["SAMPLING", "Introduction", "introduce"]
