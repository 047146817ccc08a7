"""A latent action model of your own, with everything else of an agent around it.

Yours is a torch module with `encode` and `loss`; docs/your_lam.md says what they get. This one is linear: its latent is
a projection of what changed between two frames, and must explain what changed inside the agent's mask.
"""

import gymnasium as gym
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d as pooled

from masklam_agents import ExternalLAM, register_lam
from masklam_agents.common.evaluation import episode_returns
from masklam_envs import collect, render_frames


class YourLAM(nn.Module):
    def __init__(self, image_size, frame_stack, latent_dim):
        super().__init__()
        self.to_latent, self.from_latent = nn.Linear(3 * 16**2, latent_dim), nn.Linear(latent_dim, 3 * 16**2)

    def encode(self, obs, next_obs):  # pixels: (B, 3 * frame_stack, H, W) in [-0.5, 0.5], oldest frame first
        return self.to_latent(pooled(next_obs["pixels"][:, -3:] - obs["pixels"][:, -3:], 16).flatten(1))

    def loss(self, batch):  # target: frame t + 1 with its mask (B, 1, H, W) in [0, 1]
        change = pooled(batch.target["pixels"] - batch.obs["pixels"][:, -3:], 16)
        error = (self.from_latent(self.encode(batch.obs, batch.next_obs)).view_as(change) - change) ** 2
        return (error * pooled(batch.target["mask"], 16)).mean()


register_lam("yours", f"{__name__}:YourLAM", mask_channel=True)  # its loss reads masks

if __name__ == "__main__":  # python examples/your_lam.py
    env = gym.make("MaskCheetah-v0", distractor="action", correlation=0.9, max_episode_steps=100)
    train, held_out = (render_frames(collect("MaskCheetah-v0", n, seed=n, max_steps=200), env) for n in (10, 2))
    agent = ExternalLAM(lam="yours", mask_channel=True, latent_dim=16, dataset=train, labels=1_024, batch_size=64)
    agent.learn(64 * 300).save("your_agent")
    agent = ExternalLAM.load("your_agent", dataset=train)
    returns = episode_returns(agent, lambda: gym.make(env.spec), 2, seed=0)
    print(f"NMSE {agent.probe(held_out).nmse:.2f}, return {returns.mean():.0f}")
