/**
 * Proxies between an agent and its provider and chain. They count requests and interrupt at a chosen moment: before a
 * request arrives, after it was carried out but before the answer returns, or a little later.
 */

import { setTimeout as pause } from "node:timers/promises";
import type { Deployment } from "../../offchain/chain/deployment.ts";
import { DROP, HttpProxy, jsonOf, type ProxiedAnswer, type ProxiedRequest } from "./http-proxy.ts";
import type { LocalNet } from "./local-net.ts";

export interface Moment {
  readonly when: "before" | "after" | "later";
  /** Which request it is, by its place in the order of all that pass, from 1; or what it must be like. */
  readonly request: number | ((request: ProxiedRequest) => boolean);
  /** For `later`. */
  readonly delayMilliseconds?: number;
}

export class Interruptions {
  /** Requests that have passed since the last `reset`. */
  requests = 0;
  /** Objects that the provider has acknowledged, in answers that reached the agent. */
  readonly acknowledged = new Set<string>();
  readonly provider: HttpProxy;
  readonly chain: HttpProxy;
  #moment: Moment | undefined;
  #strike: () => Promise<void> = async () => undefined;
  /** The request at which the interruption happened. */
  struck: string | undefined;

  private constructor(provider: HttpProxy, chain: HttpProxy) {
    this.provider = provider;
    this.chain = chain;
    for (const proxy of [provider, chain]) {
      proxy.intercept = (request) => this.#before(proxy, request);
      proxy.alter = (request, answer) => this.#after(proxy, request, answer);
    }
  }

  static async start(net: LocalNet): Promise<Interruptions> {
    return new Interruptions(await HttpProxy.start(net.provider.url), await HttpProxy.start(net.deployment.rpcUrl));
  }

  /** The network's deployment, by way of the proxies. */
  deploymentOf(net: LocalNet): Deployment {
    const providers = net.deployment.providers.map((each) => ({ ...each, url: this.provider.url }));
    return { ...net.deployment, rpcUrl: this.chain.url, providers };
  }

  /** Resets the counts and the planned interruption. */
  reset(): void {
    this.requests = 0;
    this.acknowledged.clear();
    this.struck = undefined;
    this.#moment = undefined;
  }

  /** Plans one interruption. */
  plan(moment: Moment, strike: () => Promise<void>): void {
    this.#moment = moment;
    this.#strike = strike;
  }

  async stop(): Promise<void> {
    await Promise.all([this.provider.stop(), this.chain.stop()]);
  }

  readonly #due = new WeakSet<ProxiedRequest>();

  async #before(proxy: HttpProxy, request: ProxiedRequest): Promise<typeof DROP | undefined> {
    this.requests += 1;
    const moment = this.#moment;
    if (moment === undefined) return undefined;
    const here = typeof moment.request === "number" ? this.requests === moment.request : moment.request(request);
    if (!here) return undefined;
    this.#moment = undefined;
    this.struck = `${moment.when} ${this.#nameOf(proxy, request)}`;
    if (moment.when === "before") {
      await this.#strike();
      return DROP;
    }
    if (moment.when === "after") this.#due.add(request);
    else void pause(moment.delayMilliseconds ?? 0).then(this.#strike);
    return undefined;
  }

  async #after(proxy: HttpProxy, request: ProxiedRequest, answer: ProxiedAnswer): Promise<typeof DROP | undefined> {
    if (this.#due.has(request)) {
      await this.#strike();
      return DROP;
    }
    if (proxy === this.provider && answer.status === 200) this.#note(request, answer);
    return undefined;
  }

  #note(request: ProxiedRequest, answer: ProxiedAnswer): void {
    const { path, method } = request;
    if (method !== "POST") return;
    const named = path === "/v1/chunks" ? "stored" : /^\/v1\/claims\/.*\/answers$/.test(path) ? "owned" : undefined;
    if (named === undefined) return;
    for (const id of jsonOf(answer)[named] as string[]) this.acknowledged.add(id);
  }

  #nameOf(proxy: HttpProxy, request: ProxiedRequest): string {
    if (proxy === this.provider) return `${request.method} ${request.path.slice(0, 40)}`;
    const { method } = jsonOf(request) as { method?: string };
    return method ?? "a batch of calls";
  }
}
