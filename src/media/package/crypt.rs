//! AES-128 as HLS has it (RFC 8216, 5.2): whole segments in CBC with PKCS #7 padding. The first block is mixed with the
//! segment's number.

use aes::Aes128;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};

/// The first block of a segment with this media sequence number, where the playlist names none.
fn first_block(sequence: u64) -> [u8; 16] {
    u128::from(sequence).to_be_bytes()
}

/// Encrypts a whole segment.
#[must_use]
pub fn encrypt(key: &[u8; 16], sequence: u64, mut plain: Vec<u8>) -> Vec<u8> {
    let length = plain.len();
    // Padding fills the last block, and is a block of its own where that is full.
    plain.resize((length / 16 + 1) * 16, 0);
    let cipher = cbc::Encryptor::<Aes128>::new(key.into(), &first_block(sequence).into());
    let whole = cipher.encrypt_padded::<Pkcs7>(&mut plain, length).is_ok();
    debug_assert!(whole, "there is room for the padding");
    plain
}

/// Decrypts a whole segment; none where it was not encrypted with this key and number.
#[must_use]
pub fn decrypt(key: &[u8; 16], sequence: u64, mut hidden: Vec<u8>) -> Option<Vec<u8>> {
    let cipher = cbc::Decryptor::<Aes128>::new(key.into(), &first_block(sequence).into());
    let length = cipher.decrypt_padded::<Pkcs7>(&mut hidden).ok()?.len();
    hidden.truncate(length);
    Some(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_come_back_whatever_their_length() {
        let key = [7; 16];
        for length in [0, 1, 15, 16, 17, 188] {
            let plain: Vec<u8> = (0..length).collect();
            let hidden = encrypt(&key, 3, plain.clone());
            assert_eq!(hidden.len(), (plain.len() / 16 + 1) * 16);
            assert_eq!(decrypt(&key, 3, hidden.clone()).unwrap(), plain);
            assert_ne!(decrypt(&key, 4, hidden), Some(plain));
        }
    }

    #[test]
    fn a_segment_is_encrypted_as_openssl_does() {
        // printf hello | openssl enc -aes-128-cbc -K 000102030405060708090a0b0c0d0e0f -iv 00000000000000000000000000000001
        let key = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let hidden = encrypt(&key, 1, b"hello".to_vec());
        let digits: Vec<String> = hidden.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digits.concat(), "d6757fedb416eb9014e1e5bb1251f2a8");
    }
}
