/** Clocks that are wrong are found by the dates of HTTP answers. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { clockOffsets, offsetOf } from "../../offchain/agent/clock-offsets.ts";
import { clockLines } from "../../offchain/cli/commands/status.ts";

describe("clock offsets", () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  async function partyWithClock(offsetSeconds: number | undefined): Promise<string> {
    const server = createServer((_request, response) => {
      response.sendDate = false;
      if (offsetSeconds !== undefined) {
        response.setHeader("date", new Date(Date.now() + offsetSeconds * 1000).toUTCString());
      }
      response.end("{}");
    }).listen(0, "127.0.0.1");
    servers.push(server);
    await once(server, "listening");
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  it("are measured for every party that answers, and shown when they are large", async () => {
    const offsets = await clockOffsets([
      { name: "node 1", url: await partyWithClock(0) },
      { name: "node 2", url: await partyWithClock(-3000) },
      { name: "provider", url: await partyWithClock(600) },
      { name: "node 3", url: await partyWithClock(undefined) },
      { name: "node 4", url: "http://127.0.0.1:9" },
    ]);
    expect(offsets.map(({ name }) => name)).to.deep.equal(["node 1", "node 2", "provider"]);
    const [right, behind, ahead] = offsets.map(({ offsetSeconds }) => offsetSeconds);
    expect(right).to.be.within(-2, 2);
    expect(behind).to.be.within(-3002, -2998);
    expect(ahead).to.be.within(598, 602);
    const lines = clockLines(offsets);
    expect(lines).to.have.length(2);
    expect(lines[0]).to.match(/^clock {6}node 2 is \d+ s behind this machine$/);
    expect(lines[1]).to.match(/^clock {6}provider is \d+ s ahead of this machine$/);
  });

  it("take the middle of the request for the moment of the answer", () => {
    const sentAt = Date.parse("2026-01-01T00:00:00Z");
    expect(offsetOf("Thu, 01 Jan 2026 00:00:10 GMT", sentAt, sentAt + 20_000)).to.equal(1);
    expect(offsetOf("no date", sentAt, sentAt)).to.equal(undefined);
    expect(offsetOf(null, sentAt, sentAt)).to.equal(undefined);
  });
});
