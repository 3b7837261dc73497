/**
 * Progress of long operations, drawn on a terminal and silent everywhere else, so that piped output stays clean.
 */
import { Presets, SingleBar } from "cli-progress";
import type { Progress, ProgressListener } from "../agent/progress.ts";
import { formatBytes } from "./output.ts";

export interface ProgressBar {
  /** Whether anything is drawn. */
  readonly isShown: boolean;
  readonly listener: ProgressListener;
  /** Removes the bar. To be called however the operation ends. */
  stop(): void;
}

interface View {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  readonly remark: string;
}

function viewOf(event: Progress): View {
  switch (event.operation) {
    case "put":
      return {
        label: event.phase,
        done: event.readBytes,
        total: event.totalBytes,
        remark:
          `${event.readEntries}/${event.totalEntries} entries, ${formatBytes(event.uploadedBytes)} sent, ` +
          `${formatBytes(event.deduplicatedBytes)} known`,
      };
    case "get":
      return {
        label: event.phase,
        done: event.restoredBytes,
        total: event.totalBytes,
        remark: `${event.restoredEntries}/${event.totalEntries} entries`,
      };
    case "verify":
      return {
        label: event.phase,
        done: event.readBytes,
        total: event.totalBytes,
        remark: `${event.readEntries}/${event.totalEntries} entries, ${formatBytes(event.objectBytes)} of objects`,
      };
    case "migrate":
      return {
        label: event.phase,
        done: event.doneBytes,
        total: event.totalBytes,
        remark: `${event.doneObjects}/${event.totalObjects} objects`,
      };
    case "data-set":
      return { label: event.phase, done: event.doneBytes, total: event.totalBytes, remark: "" };
  }
}

/** @param enabled - false draws nothing; it is also off when stderr is not a terminal */
export function createProgressBar(enabled: boolean): ProgressBar {
  if (!enabled || !process.stderr.isTTY) return { isShown: false, listener: () => undefined, stop: () => undefined };
  const bar = new SingleBar(
    {
      stream: process.stderr,
      format: "{label} {bar} {percentage}% {size} {remark}",
      clearOnComplete: true,
      hideCursor: true,
      barsize: 28,
      fps: 8,
    },
    Presets.shades_classic,
  );
  let started = false;
  return {
    isShown: true,
    listener(event) {
      const view = viewOf(event);
      // An empty folder has nothing to count, and a bar of nothing would divide by it.
      const total = Math.max(view.total, 1);
      const payload = { label: view.label.padEnd(10), size: formatBytes(view.done), remark: view.remark };
      if (!started) bar.start(total, 0, payload);
      started = true;
      bar.setTotal(total);
      bar.update(Math.min(view.done, total), payload);
    },
    stop() {
      if (started) bar.stop();
    },
  };
}
