/** A project that uses Tallystick: the plugin adds the `tallystick` tasks, the module deploys the contracts. */
import hardhatIgnitionEthers from "@nomicfoundation/hardhat-ignition-ethers";
import { defineConfig } from "hardhat/config";
import tallystick from "tallystick/hardhat";

export default defineConfig({
  plugins: [hardhatIgnitionEthers, tallystick],
  networks: {
    localhost: { type: "http", chainType: "l1", url: process.env.RPC_URL ?? "http://127.0.0.1:8545" },
  },
});
