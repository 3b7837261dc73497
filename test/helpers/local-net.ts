/**
 * A network for tests: `startDevnet` in a temporary folder that goes away with it. Blocks are mined per transaction
 * unless told.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Devnet, type DevnetOptions, startDevnet } from "../../scripts/devnet/start-devnet.ts";

export interface LocalNet extends Devnet {
  /** For whatever a test needs; removed at the end. */
  readonly dir: string;
}

/** Slices that the provider takes: shorter than by default, since a set begins with a point for each element. */
export const NET_SLICE_ELEMENTS = 4096;

/** For tests in which it does not matter how many nodes there are: each takes two seconds of a core to start. */
export const SMALL_COMMITTEE = { nodes: 3, threshold: 2 } as const;

export async function startLocalNet(options: Omit<DevnetOptions, "dir"> = {}): Promise<LocalNet> {
  const dir = mkdtempSync(join(tmpdir(), "tallystick-net-"));
  try {
    const net = await startDevnet({
      blockTimeSeconds: 0,
      sliceElements: NET_SLICE_ELEMENTS,
      ...options,
      dir: join(dir, "net"),
    });
    const stop = async () => {
      await net.stop();
      rmSync(dir, { recursive: true, force: true });
    };
    return { ...net, dir, stop };
  } catch (error) {
    rmSync(dir, { recursive: true, force: true });
    throw error;
  }
}
