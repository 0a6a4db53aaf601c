// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title Where journals leave the heads of their Merkle trees, and can never take one back
/// @notice A journal is an append-only log whose tree is that of RFC 6962. Whoever keeps one anchors its size and root
/// here; a later head is taken only with a proof that it begins with all entries of the head before (RFC 9162,
/// section 2.1.4.2). So nobody, its keeper included, can anchor a journal that forgot or changed an entry.
contract AuditAnchor {
    /// @notice The last head of a journal.
    struct Head {
        /// Root of the tree of the first `size` entries.
        bytes32 root;
        /// Number of entries; 0 before the first anchor.
        uint64 size;
        /// When it was anchored last, in seconds of block time.
        uint64 time;
    }

    /// @notice `keeper` says that this is the head of its journal. The same head again says that it is still there.
    event Anchored(address indexed keeper, bytes32 indexed journal, uint64 size, bytes32 root);

    /// @notice A journal has no empty head: nothing would be promised.
    error EmptyHead();

    /// @notice The journal was longer already.
    error Rollback(uint64 anchored);

    /// @notice The proof does not show that the tree of `anchored` entries is the beginning of the new one.
    error Inconsistent(uint64 anchored);

    mapping(address keeper => mapping(bytes32 journal => Head)) private heads;

    /// @notice The last head of a journal; size 0 where nothing was anchored.
    /// @param journal Any name that its keeper chose; two keepers' journals of one name are two journals.
    function head(address keeper, bytes32 journal) external view returns (Head memory) {
        return heads[keeper][journal];
    }

    /// @notice Anchors the head of a journal of the sender's.
    /// @param proof The consistency proof from the last head to this one; empty for the first head, and for the same
    /// head again.
    function anchor(bytes32 journal, uint64 size, bytes32 root, bytes32[] calldata proof) external {
        if (size == 0) revert EmptyHead();
        Head storage last = heads[msg.sender][journal];
        uint64 lastSize = last.size;
        if (size < lastSize) revert Rollback(lastSize);
        if (!_isConsistent(lastSize, last.root, size, root, proof)) revert Inconsistent(lastSize);
        if (size != lastSize) {
            last.root = root;
            last.size = size;
        }
        last.time = uint64(block.timestamp);
        emit Anchored(msg.sender, journal, size, root);
    }

    /// @dev RFC 9162, section 2.1.4.2, with its names: `fn` and `sn` are the places of the last entries, `fr` and `sr`
    /// the roots that the proof gives. Equal sizes need equal roots and no proof; nothing is before the first head.
    function _isConsistent(
        uint64 first,
        bytes32 firstRoot,
        uint64 second,
        bytes32 secondRoot,
        bytes32[] calldata proof
    ) private view returns (bool) {
        if (first == 0) return proof.length == 0;
        if (first == second) return proof.length == 0 && firstRoot == secondRoot;

        uint256 fn = first - 1;
        uint256 sn = second - 1;
        while (fn & 1 == 1) {
            fn >>= 1;
            sn >>= 1;
        }
        // A whole first tree is a node of the second one, and is not repeated in the proof.
        uint256 next = fn == 0 ? 0 : 1;
        if (proof.length == 0) return false;
        bytes32 fr = fn == 0 ? firstRoot : proof[0];
        bytes32 sr = fr;
        for (; next < proof.length; ++next) {
            if (sn == 0) return false;
            bytes32 sibling = proof[next];
            if (fn & 1 == 1 || fn == sn) {
                // Below the first right sibling both trees are one.
                bytes32 left = _node(sibling, fr);
                sr = sr == fr ? left : _node(sibling, sr);
                fr = left;
                while (fn & 1 == 0 && fn != 0) {
                    fn >>= 1;
                    sn >>= 1;
                }
            } else {
                sr = _node(sr, sibling);
            }
            fn >>= 1;
            sn >>= 1;
        }
        return sn == 0 && fr == firstRoot && sr == secondRoot;
    }

    /// @dev RFC 6962, section 2.1: the hash of an inner node, `sha256(0x01 || left || right)`. By hand, because the
    /// compiler's own call takes new memory for each of the many hashes, which was an eighth of an anchor's gas.
    function _node(bytes32 left, bytes32 right) private view returns (bytes32 hash) {
        assembly ("memory-safe") {
            // Beyond what is allocated; nothing else is allocated while it is used.
            let free := mload(0x40)
            mstore8(free, 1)
            mstore(add(free, 1), left)
            mstore(add(free, 33), right)
            if iszero(staticcall(gas(), 2, free, 65, 0, 32)) { revert(0, 0) }
            hash := mload(0)
        }
    }
}
