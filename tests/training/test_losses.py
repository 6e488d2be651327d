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


def test_moved_landmarks_count_in_distances_between_the_eyes():
    original = torch.zeros(2, 5, 2)
    original[:, 1, 0] = 30
    assert float(losses.moved_landmarks(original, original)) == pytest.approx(0, abs=2e-3)
    moved = losses.moved_landmarks(original + torch.tensor([3.0, 4.0]), original)
    assert float(moved) == pytest.approx(5 / 30, rel=1e-3)
