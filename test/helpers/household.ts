/** An owner with a device that only writes, with the real command. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import { type CommandResult, tallystick } from "../../scripts/demo/command.ts";
import { newPerson, type Person, personFrom, withAgentOf } from "./people.ts";
import { pseudoRandomBytes } from "./pseudo-random.ts";
import type { TestNet } from "./shared-net.ts";

export interface SetReport {
  readonly id: string;
  readonly addedSlices: number;
  readonly slices: number;
  readonly feePerEpoch: string;
}

export class Household {
  readonly net: TestNet;
  readonly owner: Person;
  readonly device: Person;
  request = "";
  /** Of the device, once it is prepared. */
  dataSet = "";
  readonly puts: { readonly dataId: string; readonly content: Uint8Array }[] = [];

  private constructor(net: TestNet, owner: Person, device: Person) {
    this.net = net;
    this.owner = owner;
    this.device = device;
  }

  /** The device is granted, and nothing is prepared for it. @param name new in the network */
  static async grant(net: TestNet, name: string): Promise<Household> {
    const owner = await newPerson(net, `${name}, owner`);
    // It has no coins, and never needs any.
    const device = await personFrom(net, `${name}, device`, newRecoveryPhrase());
    const household = new Household(net, owner, device);
    const asked = await household.said(device, ["delegate", "request", owner.account, "--scope", "write"]);
    household.request = household.write(`${name}.json`, Buffer.from(JSON.stringify(asked.request)));
    await household.owners("delegate", "grant", household.request);
    return household;
  }

  /** @param wishes of the device's data set */
  async prepare(...wishes: string[]): Promise<Record<string, unknown>> {
    const { prepared } = await this.owners("delegate", "prepare", this.request, ...wishes);
    this.dataSet = String((prepared as Record<string, unknown>).dataSet);
    return prepared as Record<string, unknown>;
  }

  async said(person: Person, args: readonly string[]): Promise<CommandResult["document"]> {
    const result = await tallystick(person, args);
    expect(result.exitCode, `${args.join(" ")}: ${result.stderr}${JSON.stringify(result.document)}`).to.equal(0);
    return result.document;
  }

  async owners(...args: string[]): Promise<CommandResult["document"]> {
    return await this.said(this.owner, args);
  }

  write(name: string, content: Uint8Array): string {
    const file = join(this.net.dir, name);
    writeFileSync(file, content);
    return file;
  }

  /** As the device. */
  async put(name: string, sizeBytes: number): Promise<SetReport> {
    const content = pseudoRandomBytes(name, sizeBytes);
    const stored = await this.said(this.device, ["put", this.write(name, content)]);
    this.puts.push({ dataId: String(stored.dataId), content });
    const [report] = stored.dataSets as SetReport[];
    if (report === undefined) throw new Error("the put is in no data set");
    expect(report.id).to.equal(this.dataSet);
    return report;
  }

  /** By the owner. */
  async expectRestored(): Promise<void> {
    for (const { dataId, content } of this.puts) {
      const copy = await withAgentOf(this.net, this.owner, (agent) => agent.getBytes(dataId));
      expect(Buffer.compare(copy, content)).to.equal(0);
    }
  }
}
