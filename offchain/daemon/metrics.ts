/**
 * Prometheus metrics of a daemon: those of the process and of HTTP, and whatever the daemon adds to the same registry.
 * Labels never carry accounts, ids or paths with parameters filled in, so that their number stays bounded.
 */

import { Counter, collectDefaultMetrics, Histogram, Registry } from "prom-client";

export interface DaemonMetrics {
  readonly registry: Registry;
  /** Failures of background work, health checks and requests (status 500 and above) by part. */
  readonly failures: Counter<"part">;
  readonly observeRequest: (method: string, route: string, status: number, seconds: number) => void;
}

/** A fresh registry with process and HTTP metrics, named `tallystick_…`. */
export function createMetrics(daemon: string): DaemonMetrics {
  const registry = new Registry();
  registry.setDefaultLabels({ daemon });
  collectDefaultMetrics({ register: registry });
  const requests = new Histogram({
    name: "tallystick_http_request_seconds",
    help: "Time from the request's head to the end of the answer, in seconds",
    labelNames: ["method", "route", "status"],
    buckets: [0.002, 0.01, 0.05, 0.2, 1, 5, 30],
    registers: [registry],
  });
  const failures = new Counter({
    name: "tallystick_failures_total",
    help: "Failed rounds of background work, health checks and requests (status 500 and above)",
    labelNames: ["part"] as const,
    registers: [registry],
  });
  return {
    registry,
    failures,
    observeRequest: (method, route, status, seconds) => {
      requests.observe({ method, route, status: String(status) }, seconds);
    },
  };
}
