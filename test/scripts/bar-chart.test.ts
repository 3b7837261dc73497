import { expect } from "chai";
import { type Bar, barChart } from "../../scripts/bench/bar-chart.ts";

describe("bar chart", () => {
  const bars: readonly Bar[] = [
    { group: "one", label: "half", value: 50, limit: 100 },
    { group: "one", label: "whole", value: 100 },
    { group: "two", label: "over <&>", value: 80, limit: 60 },
  ];
  const svg = barChart("figures", bars);
  const widths = [...svg.matchAll(/<rect class="(ok|over)" x="330" y="[\d.]+" width="(\d+)"/g)];

  it("draws bars from zero on one scale", () => {
    expect(widths.map(([, , width]) => Number(width))).to.deep.equal([220, 440, 352]);
  });

  it("marks limits, and bars that pass them", () => {
    expect(widths.map(([, kind]) => kind)).to.deep.equal(["ok", "ok", "over"]);
    const marks = [...svg.matchAll(/<line class="limit" x1="(\d+)"/g)].map(([, x]) => Number(x));
    expect(marks).to.deep.equal([330 + 440, 330 + 264]);
  });

  it("names each group once and lets no label break out of the document", () => {
    expect(svg.match(/<text class="t"[^>]*>(one|two)</g)).to.have.length(2);
    expect(svg).to.contain("over &lt;&amp;&gt;").and.to.not.contain("<&>");
  });
});
