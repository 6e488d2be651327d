import pytest
import torch

from training import losses


def test_appearance_is_mean_absolute_difference():
    a, b = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5)
    assert losses.appearance(a, b) == pytest.approx(0.5)


def test_attribute_classification_counts_only_what_is_asked():
    logits = torch.tensor([[4.0, -4.0, 9.0]])
    asked = losses.attribute_classification(logits, torch.tensor([[1.0, 0.0, 0.0]]))
    assert asked < 0.05
    assert losses.attribute_classification(logits, torch.tensor([[-1.0, 0.0, 0.0]])) > 3.9
    assert losses.attribute_classification(logits, torch.zeros(1, 3)) == 0


def test_feature_dissimilarity_is_zero_for_different_people():
    a = torch.eye(4)[:1]
    alike = torch.tensor(0.6)
    assert losses.feature_dissimilarity(a, torch.eye(4)[1:2], alike) == 0
    assert losses.feature_dissimilarity(a, a, alike) == pytest.approx(1.0)


def test_identity_looks_at_the_direction_in_which_two_faces_differ():
    asked = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert losses.asked_identity(0.1 * asked, asked) == pytest.approx(0)
    assert losses.asked_identity(-asked, asked) == pytest.approx(2)
    assert losses.asked_identity(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), asked) == pytest.approx(0.5)


def test_push_is_zero_beyond_the_margin():
    a, b = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])
    apart = torch.tensor(2.5)
    assert losses.push_away(a, b, 2.0, apart) == 0
    assert losses.push_away(a, b, 3.0, apart) == pytest.approx(1.0)
    assert losses.push_away(a, a, 1.2, apart) == pytest.approx(1.2, abs=1e-2)


def test_adversarial_identity_prefers_the_right_identity():
    logits = torch.tensor([[5.0, 0.0]])
    right = losses.adversarial_identity(logits, torch.tensor([0]))
    assert right < losses.adversarial_identity(logits, torch.tensor([1]))


def test_hinge_losses_pull_in_opposite_directions():
    scores = [torch.tensor([2.0]), torch.tensor([3.0])]
    assert losses.hinge_generator(scores) == -5
    assert losses.hinge_discriminator(scores, [-s for s in scores]) == 0
    assert losses.hinge_discriminator([-s for s in scores], scores) > 0


def test_clipped_counts_only_what_leaves_the_range():
    face = torch.zeros(1, 3, 4, 4)
    assert losses.clipped(face) == 0
    face[..., 0, 0] = -1.5
    assert losses.clipped(face) == pytest.approx(0.52 / 16)


def test_unexpected_is_the_share_of_each_portion_that_was_not_explained():
    torch.manual_seed(0)
    hidden = [torch.randn(500, 4) + 3, 0.01 * torch.randn(500, 6)]
    nothing = [portion - portion.mean(0) for portion in hidden]
    assert float(losses.unexpected(nothing, hidden)) == pytest.approx(2, rel=1e-4)
    assert float(losses.unexpected([0.5 * portion for portion in nothing], hidden)) == pytest.approx(0.5, rel=1e-4)
    assert float(losses.unexpected([nothing[0], 0 * nothing[1]], hidden)) == pytest.approx(1, rel=1e-4)


def test_what_looks_natural_enough_is_left_alone():
    ratings = torch.tensor([1.5, 3.0, 3.9], requires_grad=True)
    loss = losses.unnatural(ratings, 3.5)
    loss.backward()
    assert float(loss) == pytest.approx((2 + 0.5) / 3)
    assert ratings.grad[0] < 0 and ratings.grad[1] < 0 and ratings.grad[2] == 0


def test_a_face_is_turned_by_what_moves_it_as_a_whole():
    """Turned, shifted or enlarged it costs as far as that takes its spots; another shape or depth, nothing."""
    torch.manual_seed(0)
    original, unit = torch.randn(2, 468, 3) * torch.tensor([30.0, 40.0, 15.0]) + 90, torch.tensor(45.0)
    middle = original.mean(1, keepdim=True)
    angle = torch.tensor(0.08)
    for axes in ((0, 1), (0, 2), (1, 2)):
        matrix = torch.eye(3)
        matrix[axes, axes] = angle.cos()
        matrix[axes[0], axes[1]], matrix[axes[1], axes[0]] = -angle.sin(), angle.sin()
        moved = (original - middle) @ matrix.T + middle
        far = (moved - original).norm(dim=2).mean() / unit
        assert float(losses.turned(moved, original, unit)) == pytest.approx(float(far), rel=0.02)
    assert float(losses.turned(original + torch.tensor([3.0, 4.0, 0.0]), original, unit)) == pytest.approx(5 / 45, 0.01)
    assert float(losses.turned(original + torch.tensor([0.0, 0.0, 9.0]), original, unit)) < 0.01
    assert float(losses.turned(1.1 * (original - middle) + middle, original, unit)) > 0.05
    another_shape = original + 5 * torch.randn_like(original)
    assert (
        float(losses.turned(another_shape, original, unit)) < 0.02 < (another_shape - original).norm(dim=2).mean() / 45
    )


def test_an_expression_counts_where_it_is_to_be_kept():
    original, unit = torch.full((2, 4), 6.0), torch.tensor(60.0)
    shown = original + torch.tensor([[3.0, -3.0, 12.0, 12.0], [0.0, 0.0, 0.0, 30.0]])
    kept = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    assert float(losses.expression(shown, original, unit, kept)) == pytest.approx((3 + 3 + 30) / 6 / 60)
    assert float(losses.expression(shown, original, unit, torch.zeros(2, 4))) == 0
