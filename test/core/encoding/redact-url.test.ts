import { expect } from "chai";
import { redactUrl, redactUrlsIn, secretsOfUrl } from "../../../offchain/core/encoding/redact-url.ts";

describe("core/redact-url", () => {
  it("leaves scheme and host, and drops user information, path, query and fragment", () => {
    expect(redactUrl("https://user:secret@rpc.example.org:8443/v2/secret?key=secret#secret")).to.equal(
      "https://rpc.example.org:8443/…",
    );
    expect(redactUrl("http://127.0.0.1:8545")).to.equal("http://127.0.0.1:8545");
    expect(redactUrl("http://127.0.0.1:8545/")).to.equal("http://127.0.0.1:8545");
    expect(redactUrl(new URL("wss://host/secret"))).to.equal("wss://host/…");
    expect(redactUrl("secret")).to.equal("<address>");
  });

  it("finds addresses in running text, whatever is around them", () => {
    const key = "s3cr3t";
    for (const text of [
      `server response 502 (request={ "url": "https://rpc.example.org/v2/${key}" }, code=SERVER_ERROR)`,
      `requestUrl="https://rpc.example.org/?key=${key}", version=6`,
      `cannot reach https://me:${key}@rpc.example.org.`,
      `see <wss://rpc.example.org/${key}>, (HTTPS://rpc.example.org/${key}), 'http://a/${key}' and http://b/${key}`,
    ]) {
      const redacted = redactUrlsIn(text);
      expect(redacted).not.to.include(key);
      expect(redacted).to.match(/:\/\/(?:rpc\.example\.org|a|b)/i);
    }
    expect(redactUrlsIn("no address: 7/8 of a://b")).to.equal("no address: 7/8 of a://b");
  });

  it("names what is hidden, for texts that quote it without the address", () => {
    const key = "0123456789abcdef0123456789abcdef";
    expect(secretsOfUrl(`https://user:password1@example.io/v3/${key}?token=abcd%2Defgh&a=1`)).to.have.members([
      "password1",
      key,
      "abcd%2Defgh",
      "abcd-efgh",
    ]);
    expect(secretsOfUrl("http://127.0.0.1:8545")).to.deep.equal([]);
  });
});
