"""Phase 2 (paper algorithm 1): one network learns to anonymise and to restore, against discriminator V."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mfm_edge.factors import ATTRIBUTES
from mfm_edge.style import COORDINATES
from training import losses
from training.channel import channel, quantise
from training.config import Config
from training.data import FaceSet, to_tensor
from training.discriminators import Discriminators, Seen
from training.efficientnet import EfficientNet
from training.face_mesh import OPENINGS, FaceMesh, between_eyes, openings, random_looks
from training.information import Information
from training.keys import random_attributes, random_keys
from training.networks import Change, Modifier
from training.person import KEPT
from training.phase1 import Phase1
from training.precision import draw_in_bfloat16, judge_in_bfloat16
from training.processes import Processes
from training.ratings import Rater, quarters
from training.recogniser import Recogniser, View, distance, random_view
from training.scenes import Scenes
from training.targets import TargetFinder, moved

__all__ = ["Trainer"]

EXPRESSIONS = [ATTRIBUTES.index(name) for name in ("smiling", "mouth_open")]
MOUTH = slice(2, 4)  # of the mesh's openings


class Trainer:
    """Networks, optimisers and the step counter; `step` does one update of each network."""

    def __init__(
        self,
        faces: FaceSet,
        phase1: Phase1,
        recogniser: Recogniser,
        config: Config,
        processes: Processes | None = None,
    ) -> None:
        self.config, self.faces, self.phase1, self.recogniser = config, faces, phase1, recogniser
        self.processes = processes or Processes()
        self.device = device = self.processes.device
        recogniser.to(device)
        if phase1.classifier is not None:
            phase1.classifier.to(device)
        self.identity = phase1.identity.to(device)
        self.targets = TargetFinder(faces)
        layout = torch.channels_last
        self.modifier = Modifier(phase1.space).to(device, memory_format=layout)
        self.average = Modifier(phase1.space).to(device, memory_format=layout).eval().requires_grad_(False)
        self.average.load_state_dict(self.modifier.state_dict())
        self.discriminators = Discriminators().to(device, memory_format=layout)
        self.mesh = FaceMesh.load().to(device, memory_format=layout)
        self.backbone = EfficientNet().to(device, memory_format=layout)
        if config.bfloat16:
            draw_in_bfloat16(self.modifier)
            judge_in_bfloat16(*self.discriminators.children(), self.backbone)
        self.modifier.decoder.finish.requires_grad_(False)  # learns in phase 3
        injection = list(self.modifier.decoder.identity.parameters())
        others = [p for p in self._drawing() if not any(p is one for one in injection)]
        groups = [{"params": others, "share": 1.0}, {"params": injection, "share": config.injection_rate}]
        self.optimiser = torch.optim.AdamW(groups, config.learning_rate, betas=(0.5, 0.99), weight_decay=1e-4)
        self.discriminator_optimiser = torch.optim.Adam(
            self._judging(),
            config.discriminator_learning_rate,
            betas=(0.0, 0.99),
        )
        w = config.weights
        self.rater = Rater.load().to(device) if w.unnatural else None
        self.information: Information | None = None
        if w.information_anonymised or w.information_wrong or w.information_restored:
            self.information = Information().to(device)
            self.information_optimiser = torch.optim.Adam(self.information.parameters(), config.information_rate)
        self.steps = 0
        self.rng = np.random.default_rng(config.seed)

    def state(self) -> dict[str, object]:
        """Everything that resuming needs."""
        modules = {name: getattr(self, name).state_dict() for name in self._modules()}
        return {"steps": self.steps, "rng": self.rng.bit_generator.state, "torch_rng": torch.get_rng_state(), **modules}

    def load_state(self, state: dict[str, object]) -> None:
        for name in self._modules():
            if name in state or not name.startswith("information"):  # bounds may come in later
                getattr(self, name).load_state_dict(state[name])
        self.steps = int(state["steps"])  # type: ignore[call-overload]
        self.rng.bit_generator.state = state["rng"]
        torch.set_rng_state(state["torch_rng"])  # type: ignore[arg-type]

    def start_from(self, networks: dict[str, Any]) -> None:
        """Begin with the networks of a packed state (training.state) and fresh optimisers."""
        self.modifier.load_state_dict(networks["modifier"])
        self.average.load_state_dict(networks["modifier"])
        self.discriminators.load_state_dict(networks["discriminators"])
        self.steps = int(networks["steps"])

    def set_rates(self, factor: float) -> None:
        """Learning rates as a share of the config's, whatever a checkpoint brought along."""
        for optimiser, rate in (
            (self.optimiser, self.config.learning_rate),
            (self.discriminator_optimiser, self.config.discriminator_learning_rate),
        ):
            for group in optimiser.param_groups:
                group["lr"] = rate * factor * group.get("share", 1.0)

    def begin_together(self) -> None:
        """Before the first step of several processes: the first one's weights everywhere, and faces, keys and noise of
        their own for all others."""
        self.processes.as_first(part for name in self._modules() if isinstance(part := getattr(self, name), nn.Module))
        if not self.processes.first:
            self.rng = np.random.default_rng((self.config.seed, self.processes.rank, self.steps))
            torch.manual_seed(int(self.rng.integers(2**63)))

    def _modules(self) -> tuple[str, ...]:
        bounds = ("information", "information_optimiser") if self.information is not None else ()
        return "modifier", "average", "discriminators", "optimiser", "discriminator_optimiser", *bounds

    def _real_others(
        self, index: NDArray[np.intp], asked: Tensor, places: NDArray[np.float32]
    ) -> tuple[Tensor, Tensor]:
        """Photographs of other people much like these who have what is asked for (N,A), with eyes, nose and mouth at
        the same places; their attributes (N,A) as labelled."""
        found = self.targets.find(index, asked.cpu().numpy(), self.rng)
        pictures = to_tensor(moved(self.faces.crops[found], self.faces.landmarks[found], places))
        return pictures.to(self.device), torch.from_numpy(self.faces.attributes[found]).to(self.device)

    def step(self) -> dict[str, float]:
        """One update of the modifier and one of the discriminators; returns the losses."""
        config, w, n, device = self.config, self.config.weights, self.config.batch, self.device
        index, crops, places = self.faces.draw(n, self.rng)
        small = int(n * config.small_share)  # of those without a photograph to learn from, which would be sharper
        if small:
            crops[n - small :] = Scenes.of(crops[n - small :], self.rng).crops()
        x, labels = to_tensor(crops).to(device), torch.from_numpy(self.faces.attributes[index]).to(device)
        landmarks = torch.from_numpy(places)
        landmarks = (landmarks + config.landmark_noise * torch.randn_like(landmarks)).to(device)
        keys = random_keys(n, self.rng, attributes=random_attributes(n, self.faces.attributes, self.rng)).to(device)
        encoder = self.modifier.style_encoder
        push = 0.25 + 0.75 * float(np.clip((self.steps - config.push_start) / config.push_ramp, 0, 1))

        # For some of the batch the key asks for a real other person, so that there is a photograph to learn from.
        swaps = int(n * config.swap_share)
        view = random_view(n, int(self.rng.choice(config.chips))).to(device)
        real_target, target_labels = self._real_others(index[:swaps], keys.attributes[:swaps], places[:swaps])
        kept = 2 * torch.cat([target_labels, labels[swaps:]]).float() - 1
        kept[(keys.attributes != 0) | ~KEPT.to(device)] = 0
        with torch.no_grad():
            whose = self.recogniser(real_target, View.straight(swaps).to(device))[0]
            keys.signature_to[:swaps] = encoder.reader.depict(
                keys.signature_to[:swaps], self.identity.numbers(whose, target_labels)
            )
            embedding_x, features_x = self.recogniser(x, view)
            apart = distance(embedding_x, embedding_x.roll(1, 0)).mean()
            alike = F.cosine_similarity(embedding_x, embedding_x.roll(1, 0)).mean()
            embedding_target, features_target = self.recogniser(real_target, view[:swaps])
            looks = random_looks(n).to(device)
            spots_x = self.mesh(x, looks)
            own, lit = encoder.coordinates(x), encoder.light(x)
            context = encoder.context(x, landmarks, lit)
            keys.light[:swaps] = (encoder.light(real_target) - lit[:swaps]).clamp(-2, 2)
            shown = encoder.context.lit(context, encoder.relight(lit, keys.light) - lit)
            fits = encoder.person.expected(encoder.person.imagined(shown[:swaps], keys.person[:swaps]))
            keys.person[:swaps, :COORDINATES] = encoder.person.like(encoder.coordinates(real_target), fits)
        expected, likely = encoder.person.expected(context), encoder.person.likely(shown)
        styles = encoder(x, landmarks, *keys.style_inputs())
        change = self.modifier.change(x, landmarks, styles, keys.scramble())
        y = self.modifier.surrogate(x, change.window)
        terms: dict[str, Tensor] = {
            "clipped": losses.clipped(y),
            "unexpected": losses.unexpected([*change.left, own - expected], [*change.hidden, own]),
            "likely": F.binary_cross_entropy_with_logits(likely, labels.float()),
            "b_anonymised": losses.appearance(y, x),
        }
        # In turn, because each costs a pass: another identity on x and a wrong key on y (equation 4 wants both), and
        # the right key on what a frame and a codec left of y.
        turn = ("wrong key", "right key", "other identity")[self.steps % 3]
        pick = torch.from_numpy(self.rng.permutation(n)[: n // 2]).to(device)
        if turn == "right key":
            sent = channel(y[pick])
            other = restored = self.modifier(sent, landmarks[pick], *keys[pick].inverse().inputs())
            terms["b_restored"] = losses.appearance(restored, x[pick])
        else:
            others = random_keys(len(pick), self.rng).to(device)
            identity, otherwise = (encoder.reader.identity(one.signature_to) for one in (keys[pick], others))
            if turn == "other identity":
                others = replace(keys[pick], signature_to=encoder.reader.depict(keys.signature_to[pick], otherwise))
                other = self.modifier(x[pick], landmarks[pick], *others.inputs())
            else:
                other = self.modifier(quantise(y)[pick], landmarks[pick], *others.inverse().inputs())
            terms["clipped"] += losses.clipped(other)
        embeddings, features = self.recogniser(torch.cat([y, other]), View.join(view, view[pick]))
        fake = y if turn == "right key" else torch.cat([y, other])
        fakes = len(fake)
        embedding_y = embeddings[:n]
        spots, shapes = self.mesh.look(fake, torch.cat([looks, looks[pick]])[:fakes])
        spots_before, unit = torch.cat([spots_x, spots_x[pick]])[:fakes], between_eyes(spots_x)
        terms["turned"] = losses.turned(spots, spots_before, unit)
        as_it_was = torch.ones(fakes, len(OPENINGS), device=device)
        as_it_was[:n, MOUTH] = (keys.attributes[:, EXPRESSIONS] == 0).all(1, keepdim=True).float()
        if turn == "other identity":
            as_it_was[n:] = as_it_was[pick]
        terms["expression"] = losses.expression(openings(spots), openings(spots_before), unit, as_it_was)
        seen = Seen(fake, [f[:fakes] for f in features], shapes, self.backbone.look(fake))
        judged = self.discriminators(seen)
        terms["gan"] = losses.hinge_generator([score for scores, _ in judged.values() for score in scores])
        if self.rater is not None:
            rating = self.rater(quarters([*seen.features, *seen.looks]))
            terms["unnatural"] = losses.unnatural(rating, config.wanted_rating)
        for name, wanted in (("attr_cls", keys.attributes), ("attr_kept", kept)):
            terms[name] = sum(losses.attribute_classification(logits[:n], wanted) for _, logits in judged.values())
        terms["push"] = push * losses.push_away(embedding_y, embedding_x, config.margin, apart)
        terms["push_features"] = push * losses.push_features([f[:n] for f in features], features_x)
        terms["pull"] = losses.swap([f[:swaps] for f in features], features_target, y[:swaps], real_target)
        terms["pull"] += distance(embedding_y[:swaps], embedding_target).mean() / apart
        if turn == "right key":
            terms["rec"] = losses.reconstruction(embeddings[n:], embedding_x[pick]) / apart
        else:
            originals = [f[pick] for f in features_x]
            terms["push"] += push * losses.push_away(embeddings[n:], embedding_x[pick], config.margin, apart)
            terms["push_features"] += push * losses.push_features([f[n:] for f in features], originals)
            told_apart = (embedding_y[pick] - embeddings[n:]) @ self.identity.analysis
            terms["identity"] = losses.asked_identity(told_apart, identity - otherwise)
            terms["feat"] = losses.feature_dissimilarity(embeddings[n:], embedding_y[pick], alike)
            terms["feat_local"] = losses.push_features([f[n:] for f in features], [f[pick] for f in features])
        if w.adv or w.domain_cls:
            assert self.phase1.classifier is not None  # Phase1.complete
            _, attribute_logits = self.phase1.classifier(y)
            terms["domain_cls"] = losses.domain_classification(judged["patches"][1][:n], attribute_logits)
            if turn == "right key":
                identities = torch.from_numpy(self.faces.identities[index]).to(device)[pick]
                terms["adv"] = losses.adversarial_identity(self.phase1.classifier(restored)[0], identities)
        told = embedding_x, embedding_y, embeddings[n:], pick, turn
        if self.information is not None:
            terms |= self.information.terms(*told)
        weights = asdict(w)
        total = torch.stack([weights[name] * term for name, term in terms.items() if weights[name]]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.processes.average(self._drawing())
        nn.utils.clip_grad_norm_(self._drawing(), 1.0)
        self.optimiser.step()
        self._average_weights()

        taught = self._teach_discriminators(x, labels, view, looks, change, seen.detach())
        if self.information is not None:
            self.information_optimiser.zero_grad(set_to_none=True)
            self.information.loss(*told).backward()
            self.processes.average(self.information.parameters())
            self.information_optimiser.step()

        self.steps += 1
        log = {name: float(term.detach()) for name, term in terms.items()} | taught
        log["distance_y_x"] = float(distance(embedding_y.detach(), embedding_x).mean() / apart)
        if turn == "right key":
            error = (restored.detach().clamp(-1, 1) - x[pick]).square().mean()
            log["psnr_restored"] = float(10 * torch.log10(4 / error))
        return log

    def _teach_discriminators(
        self, x: Tensor, labels: Tensor, view: View, looks: Tensor, change: Change, fake: Seen
    ) -> dict[str, float]:
        """One update of V, which learns attributes from the labels of x; returns its losses.

        Real faces carry what a key scrambles of them, too: who has that is told at a glance, and nothing else is looked
        at then. That it does not grow, losses.unexpected sees to. They are squeezed for the same reason.
        """
        bands = self.modifier.decoder.bands
        with torch.no_grad():
            laid_over = change.grain + bands.to_window(*bands.show(change.scrambled))
            pixels = self.modifier.surrogate(x, laid_over)
            features, shapes = self.recogniser(pixels, view)[1], self.mesh.look(pixels, looks)[1]
            real = Seen(pixels, features, shapes, self.backbone.look(pixels))
        told, attributes = dict[str, Tensor](), list[Tensor]()
        judged_fake = self.discriminators(fake)
        for name, (scores, logits) in self.discriminators(real).items():
            told[f"v_{name}"] = losses.hinge_discriminator(scores, judged_fake[name][0])
            attributes.append(F.binary_cross_entropy_with_logits(logits, labels.float()))
        told["v_attributes"] = torch.stack(attributes).sum()
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        torch.stack(list(told.values())).sum().backward()
        self.processes.average(self._judging())
        self.discriminator_optimiser.step()
        return {name: float(loss.detach()) for name, loss in told.items()}

    def _drawing(self) -> list[nn.Parameter]:
        """What the modifier learns here."""
        return [p for p in self.modifier.parameters() if p.requires_grad]

    def _judging(self) -> list[nn.Parameter]:
        """What the discriminators learn."""
        return [p for p in self.discriminators.parameters() if p.requires_grad]

    @torch.no_grad()
    def _average_weights(self) -> None:
        decay = min(self.config.ema, self.steps / (self.steps + 50))
        for slow, fast in zip(self.average.parameters(), self.modifier.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)
