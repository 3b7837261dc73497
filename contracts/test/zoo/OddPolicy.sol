// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice A release policy that misbehaves when asked: some answers look like a yes to a careless reader, some use all
/// the gas of a caller that sets no limit.
contract OddPolicy {
    enum Answer {
        Yes,
        No,
        RevertsWithText,
        RevertsWithNothing,
        RevertsWithYes,
        RevertsWithMuch,
        Loops,
        InvalidOpcode,
        FailsAnAssertion,
        Two,
        HighBit,
        Short,
        Long,
        Huge,
        Nothing,
        WithinTheCap,
        BeyondTheCap
    }

    Answer private immutable ANSWER;

    constructor(Answer answer) {
        ANSWER = answer;
    }

    fallback(bytes calldata) external returns (bytes memory) {
        if (ANSWER == Answer.Yes) return abi.encode(true);
        if (ANSWER == Answer.No) return abi.encode(false);
        if (ANSWER == Answer.RevertsWithText) revert("a text of its own");
        if (ANSWER == Answer.RevertsWithYes) {
            assembly ("memory-safe") {
                mstore(0, 1)
                revert(0, 32)
            }
        }
        if (ANSWER == Answer.RevertsWithMuch) {
            assembly {
                mstore(0, 1)
                revert(0, 100000)
            }
        }
        if (ANSWER == Answer.Loops) {
            while (true) {}
        }
        if (ANSWER == Answer.InvalidOpcode) {
            assembly ("memory-safe") {
                invalid()
            }
        }
        if (ANSWER == Answer.FailsAnAssertion) assert(false);
        if (ANSWER == Answer.Two) return abi.encode(uint256(2));
        if (ANSWER == Answer.HighBit) return abi.encode((uint256(1) << 255) | 1);
        if (ANSWER == Answer.Short) return abi.encodePacked(bytes31(uint248(1)));
        if (ANSWER == Answer.Long) return abi.encode(true, true);
        if (ANSWER == Answer.Huge) return bytes.concat(abi.encode(true), new bytes(100_000));
        if (ANSWER == Answer.Nothing) return "";
        // Room for the dispatch before, and for the return after.
        if (ANSWER == Answer.WithinTheCap) _use(480_000);
        if (ANSWER == Answer.BeyondTheCap) _use(520_000);
        if (ANSWER == Answer.WithinTheCap || ANSWER == Answer.BeyondTheCap) return abi.encode(true);
        assembly ("memory-safe") {
            revert(0, 0)
        }
    }

    function _use(uint256 amount) private view {
        uint256 before = gasleft();
        while (before - gasleft() < amount) {}
    }
}
