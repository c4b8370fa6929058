import { readFileSync } from "node:fs";
import { join } from "node:path";

/** What `cargo xtask test e2e` built and where it lies. */
function variable(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run these tests with \`cargo xtask test e2e\``);
  return value;
}

/** Width and height of the built-in model's pictures. */
export function size(): { width: number; height: number } {
  return JSON.parse(readFileSync(join(built.models(), "glyph", "manifest.json"), "utf8")).image;
}

export const built = {
  /** Executable of the server. */
  server: () => variable("E2E_SERVER"),
  /** The client. */
  site: () => variable("E2E_SITE"),
  /** The model packages. */
  models: () => variable("E2E_MODELS"),
  /** The runtime compiled for a page of its own. */
  enginePage: () => variable("E2E_ENGINE_PAGE"),
  /** Tiny pipelines of every family, and what diffusers makes with them. */
  families: () => variable("E2E_FAMILIES"),
  /** The exported graphs with PyTorch's numbers. */
  fixtures: () => variable("E2E_FIXTURES"),
};

/** `diffusion::TOLERANCE`: largest difference of a channel between two engines for one seed. */
export const tolerance = () => Number(variable("E2E_TOLERANCE"));
