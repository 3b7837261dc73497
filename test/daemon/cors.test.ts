import { expect } from "chai";
import { pino } from "pino";
import { TallystickError } from "../../offchain/core/errors.ts";
import { FailureLog } from "../../offchain/daemon/failure-log.ts";
import { createMetrics } from "../../offchain/daemon/metrics.ts";
import { createServer, type DaemonServer } from "../../offchain/daemon/server.ts";

const ORIGIN = "https://app.example.org";

describe("cross-origin requests", () => {
  let server: DaemonServer | undefined;

  const start = (allowedOrigins?: string[]): DaemonServer => {
    const logger = pino({ level: "silent" });
    const common = { logger, metrics: createMetrics("test"), failures: new FailureLog(logger) };
    server = createServer({ ...common, ...(allowedOrigins === undefined ? {} : { allowedOrigins }) });
    server.get("/v1/limited", async () => {
      throw new TallystickError("slow down", { code: "RATE_LIMITED", retryAfterSeconds: 1 });
    });
    server.post("/v1/things", { onRequest: () => Promise.reject(new Error("no session")) }, async () => "done");
    return server;
  };
  afterEach(() => server?.close());

  const preflight = (on: DaemonServer, origin: string) => {
    const headers = {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type",
    };
    return on.inject({ method: "OPTIONS", url: "/v1/things", headers });
  };
  const allowOrigin = (headers: Record<string, unknown>) => headers["access-control-allow-origin"];

  it("are refused to every page unless the configuration allows its origin", async () => {
    const answer = await preflight(start(), ORIGIN);
    expect(answer.statusCode).to.equal(404);
    expect(Object.keys(answer.headers).filter((name) => name.startsWith("access-control"))).to.deep.equal([]);
  });

  it("get a preflight answered before any session is asked for", async () => {
    const answer = await preflight(start([ORIGIN]), ORIGIN);
    expect(answer.statusCode).to.equal(204);
    expect(answer.body).to.equal("");
    expect(answer.headers).to.include({
      "access-control-allow-origin": ORIGIN,
      "access-control-allow-methods": "GET, POST, PUT",
      "access-control-allow-headers": "authorization, content-type",
      vary: "origin",
    });
    expect(answer.headers).not.to.have.property("access-control-allow-credentials");
  });

  it("may read answers and errors, with the time to wait", async () => {
    const on = start([ORIGIN, "http://localhost:5173"]);
    const headers = { origin: "http://localhost:5173" };
    expect(allowOrigin((await on.inject({ url: "/healthz", headers })).headers)).to.equal("http://localhost:5173");
    const limited = await on.inject({ url: "/v1/limited", headers });
    expect([limited.statusCode, allowOrigin(limited.headers)]).to.deep.equal([429, "http://localhost:5173"]);
    expect(limited.headers).to.include({ "access-control-expose-headers": "retry-after", "retry-after": "1" });
    expect(allowOrigin((await on.inject({ url: "/nowhere", headers })).headers)).to.equal("http://localhost:5173");
  });

  it("are compared with the whole origin", async () => {
    const on = start([ORIGIN]);
    for (const origin of [
      `${ORIGIN}.evil.example`,
      `${ORIGIN}:8443`,
      "http://app.example.org",
      "null",
      ORIGIN.toUpperCase(),
    ]) {
      const answer = await on.inject({ url: "/healthz", headers: { origin } });
      expect(allowOrigin(answer.headers), origin).to.equal(undefined);
      expect(answer.headers.vary).to.equal("origin");
      expect((await preflight(on, origin)).statusCode, origin).to.equal(404);
    }
  });

  it("are open to all with an asterisk", async () => {
    const answer = await preflight(start(["*"]), "https://anything.example");
    expect([answer.statusCode, allowOrigin(answer.headers)]).to.deep.equal([204, "*"]);
  });
});
