#!/bin/sh
# Makes the media that the tests work on, with ffmpeg: small, of every form that users bring, good and bad.
# Usage: make.sh DIRECTORY. What is there already is kept; a stamp says that everything is there.
set -eu
directory=$1
mkdir -p "$directory"
cd "$directory"
[ -e .complete ] && exit 0

run() { # run OUTPUT ARGUMENTS...: writes OUTPUT whole or not at all
    output=$1
    shift
    [ -e "$output" ] && return 0
    ffmpeg -nostdin -hide_banner -loglevel error -y "$@" "making-$output"
    mv "making-$output" "$output"
}

picture="testsrc2=size=640x360:rate=30:duration=5"
sound="sine=frequency=440:beep_factor=4:sample_rate=48000:duration=5"
h264="-c:v libx264 -preset veryfast -crf 23 -pix_fmt yuv420p -g 60"
aac="-c:a aac -b:a 96k"
both="-f lavfi -i $picture -f lavfi -i $sound -shortest"

# Good media.
run plain.mp4 $both $h264 $aac -ac 2 -movflags +faststart -metadata title="A plain film"
run index-at-end.mp4 -i plain.mp4 -c copy
run plain.mov -i plain.mp4 -c copy
run plain.mkv -i plain.mp4 -c copy
run plain.ts -i plain.mp4 -c copy
run plain.flv -i plain.mp4 -c copy
run vp9.webm $both -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 500k -c:a libopus -b:a 64k
run vp8.webm $both -c:v libvpx -deadline realtime -cpu-used 8 -b:v 500k -c:a libvorbis
run av1.mp4 -f lavfi -i "testsrc2=size=320x240:rate=25:duration=3" -c:v libaom-av1 -cpu-used 8 -usage realtime -b:v 200k
run old.avi $both -c:v mpeg4 -q:v 5 -c:a libmp3lame -b:a 96k
run program.mpg $both -c:v mpeg2video -q:v 5 -c:a mp2 -f mpeg
run variable.mkv -f lavfi -i "testsrc2=size=640x360:rate=60:duration=5,select='if(lt(t,2),not(mod(n,2)),if(lt(t,3.5),not(mod(n,7)),not(mod(n,3))))'" \
    -f lavfi -i "$sound" -fps_mode passthrough $h264 $aac
run variable.mp4 -i variable.mkv -c copy
run turned.mp4 -i plain.mp4 -c copy -metadata:s:v:0 rotate=90
run ten-bit.mkv -f lavfi -i "$picture" -f lavfi -i "$sound" -c:v libx265 -preset ultrafast -x265-params log-level=error -pix_fmt yuv420p10le $aac
run full-colour.mp4 $both -c:v libx264 -preset veryfast -pix_fmt yuv444p $aac
run odd.mkv -f lavfi -i "testsrc2=size=321x243:rate=25:duration=3" -c:v ffv1 -pix_fmt yuv444p
run interlaced.ts -f lavfi -i "testsrc2=size=720x576:rate=50:duration=4,interlace=scan=tff" -f lavfi -i "sine=duration=4:sample_rate=48000" \
    -c:v mpeg2video -flags +ildct+ilme -q:v 4 -aspect 16:9 -c:a mp2
run surround.mp4 -f lavfi -i "$picture" -f lavfi -i "aevalsrc=sin(300*t)|sin(400*t)|sin(500*t)|sin(60*t)|sin(700*t)|sin(800*t):c=5.1:s=48000:d=5" $h264 -c:a aac -b:a 256k
run sound.mp3 -f lavfi -i "$sound" -c:a libmp3lame -b:a 128k -metadata title="A tone" -metadata artist="Nobody"
run sound.flac -f lavfi -i "$sound" -c:a flac
run sound.m4a -f lavfi -i "$sound" $aac
run sound.ogg -f lavfi -i "$sound" -c:a libvorbis
run sound.opus -f lavfi -i "$sound" -c:a libopus
run sound.wav -f lavfi -i "$sound" -c:a pcm_s16le
run silent-film.mp4 -f lavfi -i "$picture" $h264
run edit-list.mp4 -ss 1.37 -i index-at-end.mp4 -c copy
run late-sound.mkv -i plain.mp4 -itsoffset 0.7 -i plain.mp4 -map 0:v -map 1:a -c copy
run late-sound.mp4 -i late-sound.mkv -c copy
run two-sounds.mkv -i plain.mp4 -i surround.mp4 -map 0:v -map 0:a -map 1:a -metadata:s:a:0 language=deu -metadata:s:a:1 language=eng -c copy
run film-rate.mp4 -f lavfi -i "testsrc2=size=320x240:rate=24000/1001:duration=4" -f lavfi -i "sine=duration=4:sample_rate=44100" $h264 $aac
run wide-pixels.mp4 -f lavfi -i "testsrc2=size=720x576:rate=25:duration=3,setsar=64/45" $h264
run longer.mp4 -f lavfi -i "testsrc2=size=640x360:rate=30:duration=20" -f lavfi -i "sine=duration=20:sample_rate=48000" $h264 $aac -movflags +faststart

printf ';FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=2000\ntitle=First\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=2000\nEND=5000\ntitle=Second\n' > chapters.txt
run chapters.mkv -i plain.mkv -i chapters.txt -map_metadata 1 -c copy
run cover.png -f lavfi -i "testsrc=size=320x320:duration=1" -frames:v 1
run cover.mp3 -i sound.mp3 -i cover.png -map 0 -map 1 -c copy -id3v2_version 3
[ -e no-ending ] || cp plain.mp4 no-ending

# Bad media.
cut() { # cut SOURCE OUTPUT PERCENT
    head -c "$(($(stat -c %s "$1") * $3 / 100))" "$1" > "$2"
}
scribble() { # scribble FILE FROM-PERCENT COUNT STEP: overwrites bytes here and there, always the same
    size=$(stat -c %s "$1")
    at=$((size * $2 / 100))
    count=$3
    while [ "$count" -gt 0 ] && [ "$at" -lt "$((size - 64))" ]; do
        printf '\377\000\252\125\377\377\001\200\023\067\377\000\252\125\377\377' | dd of="$1" bs=1 seek="$at" conv=notrunc 2> /dev/null
        at=$((at + $4))
        count=$((count - 1))
    done
}
cut longer.mp4 truncated.mp4 60
run longer.mkv -i longer.mp4 -c copy
cut longer.mkv truncated.mkv 60
cut index-at-end.mp4 no-index.mp4 70
cp plain.mp4 corrupted.mp4
scribble corrupted.mp4 30 40 1777
cp plain.ts corrupted.ts
scribble corrupted.ts 30 40 1777
cp plain.mp4 corrupt-index.mp4
printf '\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377' \
    | dd of=corrupt-index.mp4 bs=1 seek=40 conv=notrunc 2> /dev/null
: > empty.mp4
printf 'This is a text, not a film.\nIt only has the wrong name.\n' > text.mp4
openssl enc -aes-128-ctr -K 00112233445566778899aabbccddeeff -iv 00000000000000000000000000000000 -in /dev/zero 2> /dev/null \
    | head -c 300000 > random.mp4 || true
: > .complete
