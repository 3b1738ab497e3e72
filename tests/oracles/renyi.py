"""Pairs of mixtures, and the integral of p^a q^(1-a) by quadrature, in closed form or expanded."""
