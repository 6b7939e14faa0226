"""Embedded multiview engine: solids between the surfaces that the shape prior tells."""
