"""The mesh type: conversion and geometry."""

from __future__ import annotations

import numpy as np
import torch

from ds4d.mesh.mesh import Mesh
from tests.mesh import boxes


def test_from_arrays_drops_unused_vertices():
    vertices = np.array([[9.0, 9, 9], [0, 0, 0], [1, 0, 0], [8, 8, 8], [0, 1, 0]])
    mesh = Mesh.from_arrays(vertices, np.array([[1, 2, 4]]), vertices / 10)
    assert torch.equal(mesh.corners()[0], torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]))
    assert len(mesh.vertices) == 3 and torch.equal(mesh.colors, mesh.vertices / 10)


def test_from_arrays_of_no_faces_is_empty():
    mesh = Mesh.from_arrays(np.ones((4, 3)), np.zeros((0, 3), int), np.ones((4, 3)))
    assert len(mesh.vertices) == len(mesh.faces) == 0 and mesh.faces.shape == (0, 3)


def test_face_normals_point_outward_with_twice_the_area():
    mesh = boxes.mesh((((-1.0, -1, -1), (1.0, 1, 1), (0.0, 0, 0)),))
    normals = mesh.face_normals()
    assert torch.allclose(normals.norm(dim=-1), torch.full((12,), 4.0))
    assert ((normals * mesh.corners().mean(1)).sum(-1) > 0).all()
